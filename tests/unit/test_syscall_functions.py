"""The functions that run system calls, in what virtual machines had in /proc/kallsyms."""

from __future__ import annotations

from pathlib import Path

import pytest

from tifbpf.errors import BpfRefusedError
from tifbpf.host import syscall_functions

KALLSYMS = Path(__file__).parents[1] / "data" / "kallsyms"


def names(path: Path, tracefs: Path) -> set[str]:
    """What stands at the addresses, all aliases."""
    found = set(syscall_functions.addresses(path, tracefs))
    return {line.split()[2] for line in path.read_text().splitlines() if int(line.split()[0], 16) in found}


def test_each_once_by_all_its_names(tmp_path: Path) -> None:
    path = KALLSYMS / "debian-cloud-7.3"
    assert names(path, tmp_path) == {
        # Without arguments: one function.
        *("__do_sys_getppid", "__x64_sys_getppid", "__ia32_sys_getppid"),
        *("__do_sys_sched_yield", "__x64_sys_sched_yield", "__ia32_sys_sched_yield"),
        *("__do_sys_rt_sigreturn", "__x64_sys_rt_sigreturn", "__ia32_sys_rt_sigreturn"),
        *("__do_compat_sys_rt_sigreturn", "__ia32_compat_sys_rt_sigreturn"),
        *("__do_sys_ni_syscall", "__x64_sys_ni_syscall", "__ia32_sys_ni_syscall"),
        # With arguments: one for each table.
        *("__x64_sys_read", "__ia32_sys_read"),
        *("__x64_sys_sendmsg", "__ia32_sys_sendmsg", "__ia32_compat_sys_sendmsg"),
        # Weak: the kernel was built without.
        *("__x64_sys_io_pgetevents_time32", "__ia32_sys_io_pgetevents_time32"),
    }
    assert len(syscall_functions.addresses(path, tmp_path)) == 12


@pytest.mark.parametrize("path", sorted(KALLSYMS.iterdir()), ids=lambda path: path.name)
def test_calls_that_end_the_thread_are_none(path: Path, tmp_path: Path) -> None:
    found = names(path, tmp_path)
    assert {"__x64_sys_getppid", "__x64_sys_read", "__ia32_sys_read", "__x64_sys_ni_syscall"} <= found
    assert not [
        name for name in found if name.endswith(("_exit", "_exit_group")) or name.startswith("__pfx_")
    ]


def test_what_ftrace_lists_by_one_of_its_names(tmp_path: Path) -> None:
    # As on 6.12, which does not list what answers for the numbers without a call.
    listed = ("__do_sys_getppid", "__x64_sys_read", "__ia32_sys_read", "__x64_sys_exit", "vfs_read")
    (tmp_path / "available_filter_functions").write_text("\n".join(listed))
    path = KALLSYMS / "debian-cloud-6.12"
    assert names(path, tmp_path) == {
        *("__do_sys_getppid", "__x64_sys_getppid", "__ia32_sys_getppid"),
        *("__x64_sys_read", "__ia32_sys_read"),
    }


def test_hidden_addresses(tmp_path: Path) -> None:
    hidden = tmp_path / "kallsyms"
    lines = (KALLSYMS / "debian-cloud-7.3").read_text().splitlines()
    hidden.write_text("".join(f"{0:016x}{line[16:]}\n" for line in lines))
    with pytest.raises(
        BpfRefusedError, match=r"^kallsyms hides the addresses .* kernel.kptr_restrict below 2$"
    ):
        syscall_functions.addresses(hidden, tmp_path)


def test_no_kallsyms(tmp_path: Path) -> None:
    with pytest.raises(BpfRefusedError, match="No such file or directory"):
        syscall_functions.addresses(tmp_path / "kallsyms", tmp_path)
