"""probes/legacy.c, compiled for the structures of old kernels: nothing in it is younger than they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from tests.live.small_verifier import Instruction, Map, RejectedError, decode, verify
from tifbpf.host.kallsyms import Place
from tifbpf.layouts import catalogue
from tifbpf.recorder import legacy, legacy_kernel
from tifbpf.recorder.abi import UNMEASURED, shared_defines
from tifbpf.recorder.filters import Filters

pytestmark = [pytest.mark.live, pytest.mark.requires("bcc"), pytest.mark.requires("root")]

# Helper to the kernel that it came with (include/uapi/linux/bpf.h, enum bpf_func_id).
HELPERS = {
    1: (3, 19),  # map_lookup_elem
    2: (3, 19),  # map_update_elem
    3: (3, 19),  # map_delete_elem
    4: (4, 1),  # probe_read
    8: (4, 1),  # get_smp_processor_id
    35: (4, 8),  # get_current_task
}
MAP_TYPES = {1: "hash", 2: "array"}
MAX_INSTRUCTIONS = 4096
MAX_STEPS = 32768
"""BPF_COMPLEXITY_LIMIT: what the verifier of 4.1 walks before it gives up (it prunes no worse than we)."""

# The labels that a kernel's kallsyms has, at made-up places.
LABELS = {
    name: Place(0xFFFFFFFF81A00000 + 0x100 * i, 0x100)
    for i, name in enumerate((*legacy_kernel.SYSCALL, *legacy_kernel.RETURN, *legacy_kernel.EXCEPTION))
}
TASK = {"TASK_PID": 1000, "TASK_TGID": 1004, "TASK_COMM": 1500, "TASK_GROUP_LEADER": 1056}


class Era(NamedTuple):
    """One layout of the structures, and the routes' functions there."""

    release: tuple[int, int]
    layout: str
    functions: tuple[str, ...]
    offsets: dict[str, int]
    helpers: set[int]


NOTIFY = ("legacy_notify_resume", "legacy_trace_leave")
USERMODE_LOOP = ("legacy_usermode_loop", "legacy_slow_exit_work")
BEFORE_TASK = {1, 2, 4, 8}
ERAS = {
    "3.10": Era(
        (4, 1),  # RHEL 7's BPF is a backport; nothing older than 4.1 has any for kprobes
        "3.10.72",
        NOTIFY,
        {"STACK_SIZE": 16384, "THREAD_INFO_TASK": 0, "THREAD_INFO_FLAGS": 16, "THREAD_INFO_STATUS": 20},
        BEFORE_TASK,
    ),
    "4.2": Era(
        (4, 1),
        "4.0",
        NOTIFY,
        {"STACK_SIZE": 16384, "THREAD_INFO_TASK": 0, "THREAD_INFO_FLAGS": 8, "THREAD_INFO_STATUS": 12},
        BEFORE_TASK,
    ),
    "4.4": Era(
        (4, 4),
        "4.4",
        USERMODE_LOOP,
        {"STACK_SIZE": 16384, "THREAD_INFO_TASK": 0, "THREAD_INFO_FLAGS": 8, "THREAD_INFO_STATUS": 12},
        BEFORE_TASK,
    ),
    "4.9": Era(
        (4, 9),
        "4.9",
        USERMODE_LOOP,
        {"TASK_THREAD_INFO": 0, "THREAD_INFO_FLAGS": 0, "TASK_STATUS": 4200},
        BEFORE_TASK | {35},
    ),
    "4.19": Era(
        (4, 19),
        "4.19",
        USERMODE_LOOP,
        {"TASK_THREAD_INFO": 0, "THREAD_INFO_FLAGS": 0, "THREAD_INFO_STATUS": 8},
        BEFORE_TASK | {35},
    ),
}
FILTERS = Filters(pids=(1,), comms=("make",), cpus="0", syscalls=("kill",))
FOLLOWERS = ("legacy_follow", "legacy_forget")


class Dumped(msgspec.Struct):
    """What legacy_dump.py prints."""

    programs: dict[str, str]
    maps: dict[int, tuple[int, int, int]]
    """Descriptor to type, key size and value size."""


def following(found: list[Instruction], index: int) -> list[int]:
    opcode = found[index].opcode
    if opcode == 0x95:  # exit
        return []
    if opcode & 0x07 == 0x05 and opcode != 0x85:
        there = index + 1 + found[index].offset
        return [there] if opcode & 0xF0 == 0 else [index + 1, there]
    return [index + (2 if opcode == 0x18 else 1)]  # a 64-bit immediate takes two


def loops(found: list[Instruction]) -> bool:
    """Whether any way through leads to an instruction a second time (kernel/bpf/verifier.c, check_cfg())."""
    done: set[int] = set()
    on_the_way = {0}
    stack = [(0, iter(following(found, 0)))]
    while stack:
        index, left = stack[-1]
        there = next(left, None)
        if there is None:
            stack.pop()
            on_the_way.discard(index)
            done.add(index)
        elif there in on_the_way:
            return True
        elif there not in done:
            on_the_way.add(there)
            stack.append((there, iter(following(found, there))))
    return False


def test_a_loop_is_found() -> None:
    body = [Instruction(0xB7, 0, 0, 0, 0), Instruction(0x55, 0, 0, -2, 0), Instruction(0x95, 0, 0, 0, 0)]
    assert loops(body)
    assert not loops([body[0], Instruction(0x55, 0, 0, 0, 0), body[2]])


MAP = [Instruction(0x18, 1, 1, 0, 7), Instruction(0, 0, 0, 0, 0)]
KEY = [
    Instruction(0x7A, 10, 0, -8, 0),  # *(u64 *)(r10 - 8) = 0
    Instruction(0xBF, 2, 10, 0, 0),
    Instruction(0x07, 2, 0, 0, -8),
]
CALL = Instruction(0x85, 0, 0, 0, 1)
LOOKED_UP = [*KEY, *MAP, CALL]
EXIT = [Instruction(0xB7, 0, 0, 0, 0), Instruction(0x95, 0, 0, 0, 0)]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ([*LOOKED_UP, Instruction(0x79, 1, 0, 0, 0)], "invalid mem access 'value?'"),
        # A copy of what was compared with null is not known to be none.
        (
            [
                *LOOKED_UP,
                Instruction(0xBF, 6, 0, 0, 0),
                Instruction(0x15, 0, 0, 1, 0),
                Instruction(0x79, 1, 6, 0, 0),
            ],
            "invalid mem access 'value?'",
        ),
        # Nor is what lies further inside a value a pointer.
        (
            [
                *LOOKED_UP,
                Instruction(0x15, 0, 0, 2, 0),
                Instruction(0x07, 0, 0, 0, 8),
                Instruction(0x79, 1, 0, 0, 0),
            ],
            "invalid mem access 'number'",
        ),
        ([*KEY[1:], *MAP, CALL], "invalid read from stack off -8 size 8"),
        ([Instruction(0x79, 1, 1, 168, 0)], "invalid bpf_context access"),
        ([Instruction(0xBF, 1, 3, 0, 0)], "R3 !read_ok"),
    ],
)
def test_what_the_verifier_of_4_1_refuses(body: list[Instruction], why: str) -> None:
    with pytest.raises(RejectedError) as caught:
        verify([*body, *EXIT], {7: Map(8, 16)})
    assert str(caught.value).endswith(why)


def test_what_the_verifier_of_4_1_allows() -> None:
    # Nine of them one after the other, and the last two again where nothing was found.
    body = [*LOOKED_UP, Instruction(0x15, 0, 0, 1, 0), Instruction(0x79, 1, 0, 8, 0), *EXIT]
    assert verify(body, {7: Map(8, 16)}) == 11


def compiled(era: Era, *, everything: bool) -> Dumped:
    filters = FILTERS if everything else Filters()
    dimensions = ("BY_COMM", "BY_PID", "BY_SYSCALL", "BY_CPU") if everything else ()
    lost = {"ORIG_AX_LOST": None} if NOTIFY[0] in era.functions else {}
    request = legacy.request(
        [*era.functions, *(FOLLOWERS if everything else ())],
        [
            "settings",
            "counters",
            "classes0",
            "classes1",
            "checked",
            *(["followed", "not_followed"] if everything else []),
        ],
        {
            **shared_defines(),
            **era.offsets,
            **TASK,
            "MAX_CLASSES": 1024,
            "UNMEASURED": UNMEASURED,
            "FIRST_EXTERNAL_VECTOR": legacy_kernel.FIRST_EXTERNAL_VECTOR,
            **legacy_kernel.masks(catalogue.load(era.layout), one_time=True),
            **filters.definitions(),
            **dict.fromkeys(dimensions),
            **lost,
        },
        legacy_kernel.addresses(LABELS),
    )
    done = subprocess.run(
        [sys.executable, "-m", "tests.live.legacy_dump"],
        input=msgspec.json.encode(request),
        capture_output=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout, type=Dumped)


@pytest.mark.parametrize("name", ERAS)
def test_all_of_it_is_in_the_bpf_of_its_kernel(name: str) -> None:
    era = ERAS[name]
    dumped = compiled(era, everything=True)
    assert dumped.programs.keys() == {*era.functions, *FOLLOWERS}
    assert {kind for kind, _, _ in dumped.maps.values()} <= MAP_TYPES.keys()
    helpers = set()
    for code in dumped.programs.values():
        found = decode(bytes.fromhex(code))
        assert len(found) <= MAX_INSTRUCTIONS
        # The verifier allows loops since 5.3.
        assert not loops(found)
        steps = verify(found, {fd: Map(key, value) for fd, (_, key, value) in dumped.maps.items()})
        assert steps <= MAX_STEPS
        for instruction in found:
            operation, kind = instruction.opcode & 0xF0, instruction.opcode & 0x07
            # BPF_JMP32 came with 5.1, BPF_JLT and its like with 4.14.
            assert kind != 0x06
            assert kind != 0x05 or operation < 0xA0
            if instruction.opcode == 0x85:
                # A call of another function of ours (4.16) has source 1.
                assert instruction.source == 0
                helpers.add(instruction.immediate)
            # Atomic operations that return something came with 5.12.
            if instruction.opcode in (0xC3, 0xDB):
                assert instruction.immediate == 0
    assert helpers == era.helpers | {3}
    assert max(HELPERS[helper] for helper in helpers) <= era.release


@pytest.mark.parametrize("name", ["3.10", "4.4", "4.19"])
def test_with_nothing_asked_for_it_compiles_and_loads(name: str) -> None:
    era = ERAS[name]
    dumped = compiled(era, everything=False)
    assert dumped.programs.keys() == set(era.functions)
    calls = [
        insn.immediate
        for code in dumped.programs.values()
        for insn in decode(bytes.fromhex(code))
        if insn.opcode == 0x85
    ]
    assert set(calls) == era.helpers - {8}
