"""The functions that run system calls, by address: to count every call, none may be missing.

By name, some are: a call without arguments has its body under `__do_sys_NAME` and its entry in the table
under `__x64_sys_NAME` at the same address, and ftrace lists one of the two. One that the kernel was built
without is a weak symbol.

What runs here is not quite what returns to user mode. Not here:

* what returns without having run, because seccomp or a tracer skipped it, or because its number is -1 or, on
  7.x, beyond the table;
* numbers in the table that no call has, where ftrace may not go to what answers them (up to 6.12);
* a new task's first return.

Here, and no system call: what emulates the vsyscall page on a page fault
(arch/x86/entry/vsyscall/vsyscall_64.c).
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

from tifbpf.errors import BpfRefusedError
from tifbpf.host import ftrace

_KALLSYMS = Path("/proc/kallsyms")

# arch/x86/include/asm/syscall_wrapper.h: the entries of the tables of x86-64, x32 and i386, and what else may
# stand at their addresses; sys_ni_syscall answers for the numbers without a call.
_LINE = re.compile(
    rb"^([0-9a-f]{16}) [tTwW] ((?:(__(?:x64|ia32))|__do)_(?:compat_)?sys_\w+)$",
    re.MULTILINE,
)
# They end the thread, and return from nothing.
_NEVER_RETURN = frozenset({"exit", "exit_group"})


@functools.cache
def addresses(path: Path = _KALLSYMS, tracefs: Path | None = None) -> tuple[int, ...]:
    """Return the address of every function that a system call's number may lead to, and that returns.

    Without those that ftrace cannot attach to, as far as that can be known: one of them would make the kernel
    refuse all.

    Args:
        path: kallsyms.
        tracefs: by default where it is mounted.

    Raises:
        BpfRefusedError: kallsyms does not say.
    """
    try:
        kallsyms = path.read_bytes()
    except OSError as error:
        raise BpfRefusedError(
            f"{path}: {error.strerror}: the system calls' functions are not known"
        ) from error
    names: dict[int, set[str]] = {}
    entries: set[int] = set()
    for match in _LINE.finditer(kallsyms):
        address, name = int(match[1], 16), match[2].decode()
        names.setdefault(address, set()).add(name)
        if match[3] and name.rpartition("sys_")[2] not in _NEVER_RETURN:
            entries.add(address)
    if not any(entries):
        raise BpfRefusedError(
            "kallsyms hides the addresses of the system calls' functions: run as root, with the sysctl "
            "kernel.kptr_restrict below 2"
        )
    traceable = ftrace.traceable({name for address in entries for name in names[address]}, tracefs).names
    if traceable is not None:
        entries = {address for address in entries if names[address] & traceable}
    return tuple(sorted(entries))
