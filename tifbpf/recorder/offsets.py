"""Structure offsets of the running kernel, from BTF, as definitions for the BPF programs."""

from __future__ import annotations

from tifbpf.errors import NoTypesError
from tifbpf.host.btf import KernelTypes

_REGS = ("orig_ax", "ip", "sp", "cx", "cs")
_THREAD_INFO_TAIL = 4
"""The size of `status`, the last member that is read."""


def definitions(types: KernelTypes) -> dict[str, int | str | None]:
    """Return what probes/exits.h needs.

    Raises:
        NoTypesError: a structure is not as every kernel with BTF has had it.
    """
    thread_info = members(types, "thread_info", "flags", "status")
    task = members(
        types, "task_struct", "thread_info", "stack", "tgid", "comm", "signal", "min_flt", "maj_flt"
    )
    regs = members(types, "pt_regs", *_REGS)
    found: dict[str, int | str | None] = {
        "TASK_THREAD_INFO": task["thread_info"],
        "TASK_STACK": task["stack"],
        "TASK_TGID": task["tgid"],
        "TASK_COMM": task["comm"],
        "TASK_SIGNAL": task["signal"],
        "SIGNAL_LIVE": members(types, "signal_struct", "live")["live"],
        "TASK_MIN_FLT": task["min_flt"],
        "TASK_MAJ_FLT": task["maj_flt"],
        **{f"REGS_{name.upper()}": offset for name, offset in regs.items() if name in _REGS},
        "THREAD_INFO_FLAGS": thread_info["flags"],
        "THREAD_INFO_STATUS": thread_info["status"],
    }
    read = [thread_info["flags"] + 8, thread_info["status"] + _THREAD_INFO_TAIL]
    # Since Linux commit b4581a52caff ("x86: Expose syscall_work field in thread_info") (in v5.11).
    if "syscall_work" in thread_info:
        found["THREAD_INFO_SYSCALL_WORK"] = thread_info["syscall_work"]
        read.append(thread_info["syscall_work"] + 8)
    found["THREAD_INFO_SPAN"] = max(read)
    return found


def members(types: KernelTypes, structure: str, *needed: str) -> dict[str, int]:
    """Return the offsets of a structure's members, which has to have those `needed`.

    Raises:
        NoTypesError: it has not.
    """
    found = types.struct_members(structure)
    if found is None or (missing := [name for name in needed if name not in found]):
        what = f"struct {structure}" if found is None else f"{structure}.{missing[0]}"
        raise NoTypesError(f"the kernel's BTF has no {what}; please report this kernel")
    return found
