"""Masks and guards in the machine code of real kernels, and in code of every form."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Collection

import pytest

from tests.excerpts import Excerpt, load
from tifbpf import machine
from tifbpf.host.kallsyms import Place
from tifbpf.layouts import tested as model
from tifbpf.layouts.model import Context, Word
from tifbpf.layouts.tested import Role

BASE = 0xFFFFFFFF81000000

# What each kernel tests: entry, one-time work, work for system calls, for interrupts and exceptions, loop.
MASKS = {
    # EXIT_TO_USER_MODE_WORK with NOTIFY_SIGNAL at bit 19, which 5.10.y got with a backport of io_uring; the
    # one-time work is in the TIF word: there is no syscall_work before 5.11.
    "debian-cloud-5.10": (0x100001C1, 0x10000091, 0x8300E, 0x8300E, 0x8300E),
    "debian-cloud-6.1": (0x3F, 0x76, 0x2300E, 0x2300E, 0x2300E),
    # The RT patch's NEED_RESCHED_LAZY at bit 19.
    "debian-rt-6.1": (0x3F, 0x76, 0xA300E, 0xA300E, 0xA300E),
    "debian-cloud-6.12": (0x3F, 0x76, 0x2300E, 0x2300E, 0x2300E),
    # NEED_RESCHED_LAZY at bit 4, as mainline has it from 6.13 on.
    "debian-rt-6.12": (0x3F, 0x76, 0x2301E, 0x2301E, 0x2301E),
    "debian-cloud-6.16": (0x3F, 0x76, 0x2301E, 0x2301E, 0x2301E),
    # The generic TIF bits.
    "debian-cloud-6.18": (0x3F, 0x76, 0x337, 0x337, 0x337),
    "running-6.18.44": (0x3F, 0x76, 0x337, 0x337, 0x337),
    # RSEQ, bit 11, enters the function and not its loop.
    "debian-cloud-6.19": (0x3F, 0x76, 0xB37, 0xB37, 0x337),
    # SYSCALL_RSEQ_SLICE, bit 7 of syscall_work, on the way in.
    "debian-cloud-7.0": (0xBF, 0x76, 0xB37, 0xB37, 0x337),
    # HRTIMER_REARM, bit 12, for interrupts and exceptions.
    "debian-cloud-7.1": (0xBF, 0x76, 0xB37, 0x1B37, 0x337),
    "debian-cloud-7.2": (0xBF, 0x76, 0xB37, 0x1B37, 0x337),
    "debian-cloud-7.3": (0xBF, 0x76, 0xB37, 0x1B37, 0x337),
}
OLD = ("debian-cloud-5.10",)
TASK_WORK = {"task_work_run", "mem_cgroup_handle_over_high", "blkcg_maybe_throttle_current"}
GENERIC = {0: "task_work_run", 1: "arch_do_signal_or_restart", 2: "arch_do_signal_or_restart"}
GENERIC |= {4: "schedule", 5: "schedule", 8: "uprobe_notify_resume", 7: "fire_user_return_notifiers"}
X86 = {1: "task_work_run", 2: "arch_do_signal_or_restart", 3: "schedule", 11: "fire_user_return_notifiers"}
X86 |= {12: "uprobe_notify_resume", 13: "klp_update_patch_state", 14: "switch_fpu_return"}


@pytest.fixture(scope="module", params=MASKS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def tested(name: str) -> model.Tested:
    return machine.read(load(name))


def value(tested: model.Tested, role: Role, context: Context) -> int | None:
    mask = tested.decisive(role, context)
    return mask.value if mask else None


def test_masks(name: str, tested: model.Tested) -> None:
    entry, once, syscall, interrupt, loop = MASKS[name]
    assert value(tested, Role.ENTRY, Context.SYSCALL) == entry
    assert value(tested, Role.SYSCALL_WORK, Context.SYSCALL) == once
    assert value(tested, Role.WORK, Context.SYSCALL) == syscall
    assert value(tested, Role.WORK, Context.INTERRUPT) == interrupt
    assert value(tested, Role.WORK, Context.EXCEPTION) == interrupt
    assert {value(tested, Role.LOOP, context) for context in Context} == {loop}
    assert tested.missing == ()


def test_words(name: str, tested: model.Tested) -> None:
    words = {mask.role: mask.word for mask in tested.masks}
    once = Word.TIF if name in OLD else Word.SYSCALL_WORK
    assert words == {Role.ENTRY: once, Role.SYSCALL_WORK: once, Role.WORK: Word.TIF, Role.LOOP: Word.TIF}


def test_guards(name: str, tested: model.Tested) -> None:
    generic = MASKS[name][2] & 0x300 == 0x300
    for number, callee in (GENERIC if generic else X86).items():
        assert callee in tested.callees(Word.TIF, number), number
    once = Word.TIF if name in OLD else Word.SYSCALL_WORK
    assert "ptrace_notify" in tested.callees(once, 0 if name in OLD else 2)
    assert "user_single_step_report" in tested.callees(once, 4 if name in OLD else 6)


def test_32_bit_entries_test_the_same(name: str, tested: model.Tested) -> None:
    roots = {mask.root for mask in tested.masks}
    assert roots >= {"do_syscall_64", "irqentry_exit", "__do_fast_syscall_32", "ret_from_fork"}
    # An exit before the system call was begun (its arguments could not be read) is one from an exception.
    differing = {(mask.root, mask.value) for mask in tested.differing()}
    newest = name in ("debian-cloud-7.1", "debian-cloud-7.2", "debian-cloud-7.3")
    assert differing == ({("__do_fast_syscall_32", 0x1B37)} if newest else set())


def test_what_decides_takes_no_other_names() -> None:
    excerpt = load("running-6.18.44")
    assert {mask.root for mask in machine.read(excerpt, every=False).masks} == {
        "do_syscall_64",
        "irqentry_exit",
    }


def test_rseq_and_hrtimer_name_themselves() -> None:
    tested = machine.read(load("debian-cloud-7.3"))
    assert tested.callees(Word.TIF, 12) == ("__hrtimer_rearm_deferred",)
    assert "rseq_trace_ip_fixup" in tested.callees(Word.TIF, 11)
    clears = {guard.value: guard.clears for guard in tested.guards if guard.word is Word.TIF}
    assert clears[1 << 11] == 1 << 11
    assert clears[1 << 12] == 1 << 12
    assert clears[1 << 0] == 1 << 0
    assert clears[0x30] == 0


def test_signals_are_seen_in_pairs() -> None:
    tested = machine.read(load("debian-cloud-6.18"))
    pairs = {guard.value: guard.callees for guard in tested.guards if guard.value in (0x6, 0x30)}
    assert pairs == {0x6: ("arch_do_signal_or_restart",), 0x30: ("schedule",)}


class Code:
    """One function, irqentry_exit, that tests something before it calls schedule() and the signal code."""

    source = "a test"

    def __init__(self, code: str) -> None:
        self.code = bytes.fromhex(code)
        self.places = {
            "irqentry_exit": Place(BASE, len(self.code)),
            "schedule": Place(BASE + 0x100, 16),
            "arch_do_signal_or_restart": Place(BASE + 0x120, 16),
        }

    def read(self, address: int, size: int) -> bytes:
        if address != BASE:
            raise OSError
        return self.code[:size]

    def names(self, addresses: Collection[int]) -> dict[int, str]:
        return {}


# testb $3,0x88(%rdi); je out; mov %gs:0x1fbc0,%rbp; mov (%rbp),%rbx; … jne work; out: ret;
# work: call schedule; call arch_do_signal_or_restart; jmp out
FORMS = {
    "test $0x337,%ebx": (
        "f6878800000003741565488b2c25c0fb0100488b5d00f7c3370300007501c3e8dc000000e8f7000000ebf3",
        0x337,
    ),
    "test $3,%bh": (
        "f6878800000003741265488b2c25c0fb0100488b5d00f6c7037501c3e8df000000e8fa000000ebf3",
        0x300,
    ),
    "testb $3,1(%rbp)": (
        "f6878800000003741365488b2c25c0fb0100488b5d00f64501037501c3e8de000000e8f9000000ebf3",
        0x300,
    ),
    "and $0x80000004,%ebx; je": (
        "f6878800000003741765488b2c25c0fb0100488b5d0081e3040000807402eb01c3e8da000000e8f5000000ebf3",
        0x80000004,
    ),
    "bt $31,%ebx; jb": (
        "f6878800000003741365488b2c25c0fb0100488b5d000fbae31f7201c3e8de000000e8f9000000ebf3",
        1 << 31,
    ),
    "test %ebx,%ebx; js": (
        "f6878800000003741165488b2c25c0fb0100488b5d0085db7801c3e8e0000000e8fb000000ebf3",
        1 << 31,
    ),
    "shr $8,%eax; and $3,%eax": (
        "f6878800000003741765488b2c25c0fb0100488b5d0089d8c1e80883e0037501c3e8da000000e8f5000000ebf3",
        0x300,
    ),
    "mov %rbx,8(%rsp); call …; mov 8(%rsp),%rax; test $0x30,%al": (
        (
            "f6878800000003742065488b2c25c0fb0100488b5d0048895c2408e820010000488b442408a8307501c3e8d1000000"
            "e8ec000000ebf3"
        ),
        0x30,
    ),
    "test $0x337,%ecx, of another structure": (
        "f6878800000003741865488b2c25c0fb0100488b5d00488b0ff7c1370300007501c3e8d9000000e8f4000000ebf3",
        None,
    ),
    "test %rbx,%rbx, which is no mask": (
        "f6878800000003741265488b2c25c0fb0100488b5d004885db7501c3e8df000000e8fa000000ebf3",
        None,
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(form: str) -> None:
    code, expected = FORMS[form]
    tested = machine.read(Code(code))
    assert value(tested, Role.WORK, Context.INTERRUPT) == expected
    unseen = {context for context in Context if f"from the context {context}" in " ".join(tested.missing)}
    assert unseen == ({Context.SYSCALL} if expected else set(Context))


def test_a_call_may_end_before_or_behind_a_function_s_begin() -> None:
    code = FORMS["test $0x337,%ebx"][0]
    for moved, call in ((-16, "e8cc000000"), (4, "e8e0000000")):
        image = Code(code.replace("e8dc000000", call))
        assert value(machine.read(image), Role.WORK, Context.INTERRUPT) == 0x337, moved
    assert machine.read(Code(code.replace("e8dc000000", "e8ca000000"))).masks == ()


def test_a_way_to_the_kernel_is_no_exit() -> None:
    """With the branches of `user_mode(regs)` swapped, the work is done on the way back to the kernel."""
    code = FORMS["test $0x337,%ebx"][0]
    assert machine.read(Code(code.replace("0374", "0375", 1))).masks == ()


def test_text_that_cannot_be_read_is_an_error() -> None:
    class Hidden(Code):
        def read(self, address: int, size: int) -> bytes:
            raise PermissionError(1, "Operation not permitted")

    with pytest.raises(PermissionError):
        machine.read(Hidden(FORMS["test $3,%bh"][0]))


def test_an_image_without_these_functions_tests_nothing() -> None:
    image = Code("c3")
    image.places = {}
    tested = machine.read(image)
    assert tested.masks == () == tested.guards
    assert len(tested.missing) == 3


def test_the_disassembler_is_loaded_when_it_is_used() -> None:
    code = "import sys, tifbpf.machine; sys.exit('capstone' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_altered_immediate_is_read_as_it_is() -> None:
    excerpt: Excerpt = load("debian-cloud-6.18")
    # test r12d, 0x337, in do_syscall_64
    changed = excerpt.changed(
        "do_syscall_64", bytes.fromhex("41f7c437030000"), bytes.fromhex("41f7c433030000")
    )
    tested = machine.read(changed)
    assert value(tested, Role.WORK, Context.SYSCALL) == 0x333
    assert value(tested, Role.WORK, Context.INTERRUPT) == 0x337
