"""What probes/legacy.c has to know of a kernel of its time: structures, masks, assembly labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tifbpf.errors import BpfRefusedError, NoTypesError
from tifbpf.host import headers, kallsyms
from tifbpf.host.btf import KernelTypes
from tifbpf.host.kallsyms import Place
from tifbpf.layouts.model import Context, Layout, Word

FIRST_EXTERNAL_VECTOR = 0x20
"""arch/x86/include/asm/irq_vectors.h."""

# Labels of arch/x86/kernel/entry_64.S (3.10 to 4.1) and arch/x86/entry/entry_64{,_compat}.S (4.2 to 5.7).
# kallsyms has those that do not begin with .L; a call lies behind the last one before it.
SYSCALL = (
    # do_notify_resume() up to 4.2: int_signal, or the last label before it that kallsyms has.
    *(
        "system_call",
        "system_call_after_swapgs",
        "system_call_fastpath",
        "ret_from_sys_call",
        "ret_from_fork",
    ),
    *("sysret_check", "sysret_careful", "sysret_signal", "sysret_audit", "tracesys", "tracesys_phase2"),
    *("int_ret_from_sys_call", "int_ret_from_sys_call_irqs_off", "int_with_check", "int_careful"),
    *("int_very_careful", "int_check_syscall_exit_work", "int_signal", "int_restore_rest"),
    # do_syscall_64() and syscall_return_slowpath() from 4.4 on.
    *("entry_SYSCALL_64", "entry_SYSCALL_64_after_swapgs", "entry_SYSCALL_64_after_hwframe"),
    *("entry_SYSCALL_64_fastpath", "entry_SYSCALL64_slow_path", "entry_SYSENTER_compat"),
    *("entry_SYSENTER_compat_after_hwframe", "entry_SYSCALL_compat", "entry_SYSCALL_compat_after_swapgs"),
    *("entry_SYSCALL_compat_after_hwframe", "entry_INT80_compat"),
)
RETURN = (
    # do_notify_resume() up to 4.2: retint_signal.
    *("retint_with_reschedule", "retint_check", "retint_careful", "retint_signal"),
    # prepare_exit_to_usermode() from 4.4 on.
    *("common_interrupt", "ret_from_intr", "retint_user"),
)
EXCEPTION = ("paranoid_userspace", "paranoid_schedule")
"""int3 and #DB, up to 3.18."""


def addresses(found: Mapping[str, Place] | None = None) -> str:
    """Return FROM_SYSCALL, FROM_RETURN and FROM_EXCEPTION, which tell where a return address lies.

    Args:
        found: where the labels are, by default what kallsyms says.

    Raises:
        BpfRefusedError: kallsyms does not say, so that no exit could be told from another.
    """
    if found is None:
        found = kallsyms.find({*SYSCALL, *RETURN, *EXCEPTION}).places or {}
    if not any(place.address for place in found.values()):
        raise BpfRefusedError(
            "the addresses of the assembly entry are not known: run as root, with the sysctl "
            "kernel.kptr_restrict below 2"
        )
    named = {"FROM_SYSCALL": SYSCALL, "FROM_RETURN": RETURN, "FROM_EXCEPTION": EXCEPTION}
    return "\n".join(f"#define {macro}(a) ({_within(found, names)})" for macro, names in named.items())


def _within(found: Mapping[str, Place], names: Iterable[str]) -> str:
    # Behind a call: never the first byte, and perhaps the one past the last.
    return (
        "||".join(
            f"((a) > {place.address:#x}ULL && (a) <= {place.address + place.size:#x}ULL)"
            for name in names
            if (place := found.get(name)) and place.address
        )
        or "0"
    )


def masks(layout: Layout, *, one_time: bool) -> dict[str, int]:
    """Return WORK_MASK and ONE_TIME_SURE of probes/legacy.c.

    Args:
        layout: the running kernel's.
        one_time: whether the function of the one-time work is hooked; else the work counts every exit.
    """
    notify = layout.mask("_TIF_DO_NOTIFY_MASK")
    if notify is None:
        work = layout.work_mask(Context.INTERRUPT, Word.TIF)
        sure = layout.work_mask(Context.SYSCALL, Word.TIF) & ~work
    else:
        # entry_64.S up to 3.19, sysret_audit: calls __audit_syscall_exit(), and not syscall_trace_leave().
        work = notify.value
        traced = layout.mask("_TIF_WORK_SYSCALL_EXIT")
        audit = layout.named("SYSCALL_AUDIT", Word.TIF)
        sure = (traced.value if traced else 0) & ~(audit.value if audit else 0)
    return {"WORK_MASK": work, "ONE_TIME_SURE": sure if one_time else 0}


def structures() -> dict[str, int] | None:
    """Return the offsets that probes/legacy.c needs, from BTF; None where the headers have to tell.

    Raises:
        NoTypesError: there are no headers of this kernel either.
    """
    try:
        with KernelTypes() as types:
            found = {name: types.struct_members(name) or {} for name in ("task_struct", "thread_info")}
    except NoTypesError:
        if headers.find() is None and headers.kheaders() is None:
            raise NoTypesError(
                "this kernel has no BTF, and its headers are not installed: install them (Debian, Ubuntu: "
                "linux-headers-$(uname -r); Fedora, RHEL: kernel-devel-$(uname -r))"
            ) from None
        return None
    task, thread_info = found["task_struct"], found["thread_info"]
    return {
        "TASK_THREAD_INFO": task["thread_info"],
        "THREAD_INFO_FLAGS": thread_info["flags"],
        "THREAD_INFO_STATUS": thread_info["status"],
        **{f"TASK_{name.upper()}": task[name] for name in ("pid", "tgid", "comm", "group_leader")},
    }
