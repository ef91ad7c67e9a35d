"""The functions whose machine code is read, and those that it is recognised by."""

from __future__ import annotations

import itertools

import msgspec

from tifbpf.layouts.model import Context


class Root(msgspec.Struct, frozen=True, kw_only=True):
    """Where an exit begins, or the system call that it ends."""

    name: str
    contexts: tuple[Context, ...]
    exiting: bool = False
    """Whether the system call is done when it begins."""
    regs: str | None = None
    """The register that has the pt_regs, where these tell whether it is user space that is returned to."""


_NO_SYSCALL = (Context.INTERRUPT, Context.EXCEPTION)
ROOTS = (
    (Root(name="do_syscall_64", contexts=(Context.SYSCALL,)),),
    (
        Root(name="irqentry_exit", contexts=_NO_SYSCALL, exiting=True, regs="rdi"),  # since 5.8
        Root(name="prepare_exit_to_usermode", contexts=_NO_SYSCALL, exiting=True),  # 4.3 to 5.7
    ),
)
"""For each context the functions that decide; the first that a kernel has counts."""
OTHERS = (
    Root(name="do_int80_emulation", contexts=(Context.SYSCALL,)),
    Root(name="do_int80_syscall_32", contexts=(Context.SYSCALL,)),
    Root(name="int80_emulation", contexts=(Context.SYSCALL,)),
    Root(name="__do_fast_syscall_32", contexts=(Context.SYSCALL,)),
    Root(name="do_fast_syscall_32", contexts=(Context.SYSCALL,)),
    Root(name="ret_from_fork", contexts=(Context.SYSCALL,), exiting=True),
)
"""The 32-bit entries, and a task's first way to user space: they are to test what ROOTS test."""

FOLLOWED = frozenset(
    {
        "__syscall_exit_work",
        "arch_exit_to_user_mode_prepare",
        "exit_to_user_mode_loop",
        "exit_to_user_mode_prepare",
        "exit_to_usermode_loop",
        "irqentry_exit_to_user_mode",
        "irqentry_exit_to_user_mode_prepare",
        "prepare_exit_to_usermode",
        "syscall_enter_from_user_mode",
        "syscall_enter_from_user_mode_prepare",
        "syscall_enter_from_user_mode_work",
        "syscall_exit_to_user_mode",
        "syscall_exit_to_user_mode_prepare",
        "syscall_exit_to_user_mode_work",
        "syscall_exit_work",
        "syscall_return_slowpath",
        "syscall_slow_exit_work",
    }
)
"""What a root may call, or may have inlined, on its way."""

SCHEDULE = "schedule"
SIGNAL = frozenset({"arch_do_signal_or_restart", "arch_do_signal", "do_signal"})
"""Whatever else the work loop does, it does these."""
ONE_TIME = frozenset(
    {
        "__audit_syscall_exit",
        "ptrace_notify",
        "ptrace_report_syscall_exit",
        "trace_syscall_exit",
        "tracehook_report_syscall_exit",
        "user_single_step_report",
    }
)
"""Any of these is work that an exit from a system call does once."""
RETURN_THUNKS = frozenset(
    {
        "__x86_return_thunk",
        "call_depth_return_thunk",
        "its_return_thunk",
        "retbleed_return_thunk",
        "srso_alias_return_thunk",
        "srso_return_thunk",
    }
)
"""A jump to one of them is a return."""
NO_RETURN = frozenset({"__stack_chk_fail", "panic"})
"""What does not come back."""
HANDLERS = frozenset(
    {
        "__futex_fixup_robust_unlock",
        "__hrtimer_rearm_deferred",
        "__mem_cgroup_handle_over_high",
        "__rseq_handle_notify_resume",
        "__rseq_handle_slowpath",
        "blkcg_maybe_throttle_current",
        "fire_user_return_notifiers",
        "hrtimer_rearm_deferred",
        "klp_update_patch_state",
        "mem_cgroup_handle_over_high",
        "rseq_handle_slowpath",
        "switch_fpu_return",
        "task_work_run",
        "tracehook_notify_resume",
        "tss_update_io_bitmap",
        "native_tss_update_io_bitmap",
        "uprobe_notify_resume",
    }
)
"""Further functions that do work; named here so that one pass over kallsyms finds them."""
FENTRY = "__fentry__"
"""What ftrace patches away; it leaves all registers as they are."""
NO_WORK = frozenset({FENTRY, "rcu_nocb_flush_deferred_wakeup", "fpregs_assert_state_consistent"})
"""What is called beside the work, on every exit."""

_COPIES = ("", ".constprop.0", ".isra.0", ".part.0", ".constprop.0.isra.0", ".isra.0.constprop.0")
COLD = ".cold"
"""What gcc adds to the name of the part that it moved to .text.unlikely."""


def base(name: str) -> str:
    """Return the name in the source of a function, a compiler's copy or a part of it."""
    return name.partition(".")[0]


def is_exit(name: str) -> bool:
    """Whether, by its name, the function is on the way out, where a system call that fails early goes."""
    return "exit" in base(name)


def names(*, every: bool = True) -> frozenset[str]:
    """Return what an image has to look up.

    Args:
        every: for OTHERS too.
    """
    roots = (*itertools.chain(*ROOTS), *(OTHERS if every else ()))
    read = FOLLOWED | {root.name for root in roots}
    copies = {f"{name}{copy}{part}" for name, copy, part in itertools.product(read, _COPIES, ("", COLD))}
    return frozenset(copies).union(SIGNAL, ONE_TIME, RETURN_THUNKS, NO_RETURN, HANDLERS, NO_WORK, {SCHEDULE})
