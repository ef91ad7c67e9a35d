"""What a host may lack, and the only reasons for which a test may be skipped.

`TIFBPF_REQUIRE` names what this host is known to have (a comma-separated list, or `all`): a test that would
be skipped for want of one of these fails instead.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tifbpf.errors import ExerciseUnavailableError
from tifbpf.exercises.audit_netlink import connected
from tifbpf.recorder.cgroups import unified_mount


def _root() -> bool:
    return os.geteuid() == 0


def _bcc() -> bool:
    return importlib.util.find_spec("bcc") is not None


def _btf() -> bool:
    return Path("/sys/kernel/btf/vmlinux").is_file()


def _raw_tracepoint() -> bool:
    return _root() and _bcc() and _btf() and Path("/proc/sys/kernel/unprivileged_bpf_disabled").exists()


def _io_uring() -> bool:
    # io_uring_setup(2) with a null argument: EFAULT where the call exists and is allowed.
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(425, 1, None)
    return ctypes.get_errno() == 14


def _uprobe() -> bool:
    # A perf event on the first byte of the C library's file, which nothing executes.
    maps = Path("/proc/self/maps").read_text().splitlines()
    path = next(line.split()[-1] for line in maps if "libc" in line)
    name = ctypes.create_string_buffer(path.encode())
    attributes = (ctypes.c_uint64 * 9)()
    # type and size of struct perf_event_attr, then, at 56, the path's address; the offset after it is 0.
    pmu = int(Path("/sys/bus/event_source/devices/uprobe/type").read_text())
    attributes[0] = ctypes.sizeof(attributes) << 32 | pmu
    attributes[7] = ctypes.addressof(name)
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = int(libc.syscall(298, ctypes.byref(attributes), 0, -1, ctypes.c_long(-1), ctypes.c_long(8)))
    if descriptor >= 0:
        os.close(descriptor)
    return descriptor >= 0


def _two_cpus() -> bool:
    return len(os.sched_getaffinity(0)) >= 2


def _binutils() -> bool:
    return shutil.which("as") is not None and shutil.which("objcopy") is not None


def _int80() -> bool:
    # CONFIG_IA32_EMULATION, and not switched off at boot: only then may a 32-bit program be registered.
    return Path("/proc/sys/abi/vsyscall32").exists()


def _bpftrace() -> bool:
    return shutil.which("bpftrace") is not None and _root()


def _cgroup2() -> bool:
    mount = unified_mount()
    return _root() and mount is not None and os.access(mount, os.W_OK)


def memory_groups() -> Path | None:
    """Return where memory control groups can be made; None: nowhere."""
    own = Path("/sys/fs/cgroup/memory")
    if (own / "memory.limit_in_bytes").exists():
        return own
    mount = unified_mount()
    if mount is None or "memory" not in (mount / "cgroup.subtree_control").read_text().split():
        return None
    return mount


def _memory_group() -> bool:
    root = memory_groups()
    return _root() and root is not None and os.access(root, os.W_OK)


def _btrfs() -> bool:
    known = Path("/proc/filesystems").read_text().split()
    return _root() and "btrfs" in known and shutil.which("mkfs.btrfs") is not None


def _audit() -> bool:
    # The kernel answers root of the initial namespaces, and nobody else.
    with connected() as audit:
        audit.enabled()
    return True


def _audit_on() -> bool:
    with connected() as audit:
        return audit.enabled() and not audit.has_task_rules()


def _vm() -> bool:
    # Imported here: in the guests, and where no guest is booted, nothing of it is needed.
    from tests.vm import cache, machine

    return not machine.missing() and cache.reachable()


def _prometheus() -> bool:
    return shutil.which("prometheus") is not None and shutil.which("promtool") is not None


def _kprobe() -> bool:
    return _raw_tracepoint() and Path("/sys/bus/event_source/devices/kprobe/type").exists()


def _exit_function() -> bool:
    # Before Linux 6.15: a function that all exits of system calls pass, and that anybody's kprobe may hook.
    names = {b"exit_to_user_mode_prepare", b"syscall_exit_to_user_mode_prepare"}
    with Path("/proc/kallsyms").open("rb") as lines:
        return any(line.split()[2] in names for line in lines)


def _browser() -> bool:
    # selenium and vl-convert are of the tests' own environment, which the guests do not have.
    modules = all(importlib.util.find_spec(name) for name in ("selenium", "vl_convert"))
    return modules and all(shutil.which(name) for name in ("chromium", "chromedriver"))


def _strace() -> bool:
    return shutil.which("strace") is not None


def _zsh() -> bool:
    return shutil.which("zsh") is not None


def _fish() -> bool:
    return shutil.which("fish") is not None


def _systemd() -> bool:
    # Not as process 1: only what reads units, and what makes the filters of system calls.
    ctypes.CDLL("libseccomp.so.2")
    return shutil.which("systemd-analyze") is not None and shutil.which("setpriv") is not None


CAPABILITIES: dict[str, Callable[[], bool]] = {
    "root": _root,
    "bcc": _bcc,
    "btf": _btf,
    "raw_tracepoint": _raw_tracepoint,
    "io_uring": _io_uring,
    "uprobe": _uprobe,
    "int80": _int80,
    "binutils": _binutils,
    "two_cpus": _two_cpus,
    "bpftrace": _bpftrace,
    "cgroup2": _cgroup2,
    "memory_group": _memory_group,
    "btrfs": _btrfs,
    "audit": _audit,
    "audit_on": _audit_on,
    "kprobe": _kprobe,
    "exit_function": _exit_function,
    "prometheus": _prometheus,
    "vm": _vm,
    "browser": _browser,
    "strace": _strace,
    "zsh": _zsh,
    "fish": _fish,
    "systemd": _systemd,
}


@functools.cache
def present(capability: str) -> bool:
    """Whether this host has it."""
    with contextlib.suppress(OSError, ExerciseUnavailableError):
        return CAPABILITIES[capability]()
    return False


def required() -> frozenset[str]:
    """What `TIFBPF_REQUIRE` says that this host has."""
    value = os.environ.get("TIFBPF_REQUIRE", "")
    if value == "all":
        return frozenset(CAPABILITIES)
    named = frozenset(filter(None, value.split(",")))
    if unknown := named - CAPABILITIES.keys():
        raise ValueError(f"TIFBPF_REQUIRE: no such capability: {', '.join(sorted(unknown))}")
    return named
