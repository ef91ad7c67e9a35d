"""What host/ says of the kernel that runs, against what is known of every kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tifbpf.host import libbpf, programs, tracers
from tifbpf.host.btf import KernelTypes
from tifbpf.host.collect import collect
from tifbpf.host.facts import Interest, Way
from tifbpf.host.programs import ProgramType
from tifbpf.host.text import KernelText
from tifbpf.routes.model import interest

pytestmark = pytest.mark.live


def descriptors() -> set[str]:
    """What this process holds of BPF and perf: what a trial left behind would be there."""
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"{path.name} {path.readlink()}")
        except FileNotFoundError:
            continue
    return {text for text in found if "bpf" in text or "perf" in text}


@pytest.mark.requires("btf")
class TestBtf:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("list_head", {"next": 0, "prev": 8}),
            # In an anonymous struct in an anonymous union; and one deeper.
            ("sk_buff", {"next": 0, "prev": 8, "dev": 16, "rbnode": 0}),
            # Bit-fields.
            ("iphdr", {"ihl": 0, "version": 0, "tos": 1, "saddr": 12, "daddr": 16}),
            ("thread_info", {"flags": 0}),
        ],
    )
    def test_members(self, name: str, expected: dict[str, int]) -> None:
        with KernelTypes() as types:
            members = types.struct_members(name)
        assert members is not None
        assert {key: members[key] for key in expected} == expected

    def test_enumerations(self) -> None:
        with KernelTypes() as types:
            assert types.enum_values("pid_type") == {
                "PIDTYPE_PID": 0,
                "PIDTYPE_TGID": 1,
                "PIDTYPE_PGID": 2,
                "PIDTYPE_SID": 3,
                "PIDTYPE_MAX": 4,
            }

    def test_functions(self) -> None:
        with KernelTypes() as types:
            assert types.function("bpf_fentry_test3") == ("a", "b", "c")
            assert types.function_id("bpf_fentry_test3") is not None
            assert types.has_typedef("u32")

    def test_what_is_not_there_is_none(self) -> None:
        with KernelTypes() as types:
            assert types.struct_members("tifbpf_no_such_struct") is None
            assert types.enum_values("tifbpf_no_such_enum") is None
            assert types.function("tifbpf_no_such_function") is None
            assert types.function_id("list_head") is None
            assert not types.has_typedef("tifbpf_no_such_type")

    def test_closed_is_closed(self) -> None:
        types = KernelTypes()
        types.close()
        types.close()
        with pytest.raises(ValueError, match="closed"):
            types.struct_members("list_head")


@pytest.mark.requires("root", "raw_tracepoint")
def test_no_text_where_there_is_none() -> None:
    with KernelText() as text, pytest.raises(OSError, match="nothing to read at 0x10"):
        text.read(0x10, 8)


@pytest.mark.requires("root", "raw_tracepoint", "btf")
class TestCollect:
    def test_nothing_is_left_behind(self) -> None:
        before = descriptors()
        collect(interest())
        assert descriptors() == before

    def test_what_this_kernel_surely_has(self) -> None:
        facts = collect(interest())
        assert facts.release == os.uname().release
        assert facts.ways[Way.RAW_TRACEPOINT].answer is True
        assert facts.events["raw_syscalls:sys_exit"] is True
        assert facts.symbol("task_work_run").present is True
        assert facts.symbol("task_work_run").btf is True
        assert facts.program_types["raw_tracepoint"].answer is True

    def test_what_no_kernel_has(self) -> None:
        facts = collect(
            Interest(
                functions=frozenset({"tifbpf_no_such_function"}),
                callers={},
                events=frozenset({"raw_syscalls:tifbpf_no_such_event"}),
            )
        )
        assert facts.symbol("tifbpf_no_such_function").present is False
        assert facts.events["raw_syscalls:tifbpf_no_such_event"] is False

    def test_every_unknown_has_its_reason(self) -> None:
        facts = collect(interest())
        for name, symbol in facts.symbols.items():
            for source, answer in (
                ("ftrace", symbol.traceable),
                ("blacklist", symbol.blacklisted),
                ("btf", symbol.btf),
            ):
                assert not symbol.present or answer is not None or facts.unseen[source], name

    def test_a_caller_is_found_in_machine_code(self) -> None:
        # kernel/fork.c: kernel_clone() has to call wake_up_new_task(), which is in another file.
        facts = collect(
            Interest(
                functions=frozenset({"wake_up_new_task"}),
                callers={"wake_up_new_task": frozenset({"kernel_clone", "task_work_run"})},
                events=frozenset(),
            )
        )
        assert facts.symbol("wake_up_new_task").called_by == {"kernel_clone": True, "task_work_run": False}


@pytest.mark.requires("root", "raw_tracepoint")
def test_who_traces_is_named_while_it_does() -> None:
    # In a process of its own, which other tests do not wait for.
    script = (
        "import os, sys; from tifbpf.host import libbpf, programs;"
        "program = programs.load(programs.ProgramType.RAW_TRACEPOINT);"
        "link = programs.check(libbpf.library().bpf_raw_tracepoint_open(b'sys_exit', program));"
        "print('attached', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "attached\n"
        while_attached = {(tracer.hook, tracer.how, tracer.pid) for tracer in tracers.find().found}
        child.communicate("")
    assert ("sys_exit", "BPF", child.pid) in while_attached
    assert child.pid not in {tracer.pid for tracer in tracers.find().found}


@pytest.mark.requires("root", "raw_tracepoint")
def test_the_kernel_s_refusal_is_an_oserror() -> None:
    program = programs.load(ProgramType.RAW_TRACEPOINT)
    try:
        with pytest.raises(FileNotFoundError):
            programs.check(libbpf.library().bpf_raw_tracepoint_open(b"tifbpf_no_such_tracepoint", program))
        with pytest.raises(PermissionError):  # the verifier: r0 is not set at exit
            programs.load(ProgramType.RAW_TRACEPOINT, programs.instruction(0x95))
    finally:
        os.close(program)
