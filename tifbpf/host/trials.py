"""Asking the kernel by trying: each way to attach, once, where it does no harm, and undone at once."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from tifbpf.errors import NoLibbpfError, NoTypesError
from tifbpf.host import ftrace, libbpf, perf, programs
from tifbpf.host.btf import KernelTypes
from tifbpf.host.facts import Finding, Way
from tifbpf.host.kallsyms import Place
from tifbpf.host.privileges import Privileges
from tifbpf.host.programs import FENTRY, ProgramType

HARMLESS = "bpf_fentry_test1"
"""The kernel's own target for BPF's self-tests (net/bpf/test_run.c): traceable, and called by nobody else."""

_KPROBE_TYPE = Path("/sys/bus/event_source/devices/kprobe/type")
_ADDRESSES = "run as root, with the sysctl kernel.kptr_restrict below 2"
_NO_SUCH_TRACEPOINT = b"tifbpf_no_such_tracepoint"
_NO_KPROBES = "a kernel with CONFIG_KPROBES=y"

Explain = Callable[[OSError], Finding]
"""Makes a finding of a refusal, knowing who we are and what lockdown says."""


def explainer(rights: Privileges, lockdown: Finding) -> Explain:
    """Return what turns a refusal into a finding: to somebody without the right to ask it is no answer."""

    def explain(error: OSError) -> Finding:
        said = (error.strerror or str(error)).lower()
        if error.errno not in (errno.EPERM, errno.EACCES):
            return Finding(answer=False, said=said)
        if rights.euid != 0:
            return Finding(answer=None, said=f"{said}, not being root", remedy="run as root")
        if missing := " and ".join(rights.missing()):
            return Finding(answer=None, said=f"{said}, without {missing}", remedy=f"run with {missing}")
        if lockdown.answer:
            return Finding(
                answer=False,
                said=f"{said}, under lockdown={lockdown.said}",
                remedy=f"boot without lockdown={lockdown.said}, if it is that and no other security module",
            )
        return Finding(answer=False, said=f"{said}, to root, by some security module")

    return explain


def _guarded(trial: Callable[[], Finding], explain: Explain) -> Finding:
    try:
        return trial()
    except OSError as error:
        return explain(error)
    except (NoLibbpfError, NoTypesError) as error:
        return Finding(answer=None, said=str(error))


def ways(places: Mapping[str, Place], explain: Explain) -> dict[Way, Finding]:
    """Try every way to attach.

    Args:
        places: where functions are; a breakpoint is tried on HARMLESS.
        explain: see `explainer`.
    """
    return {
        Way.FENTRY: _guarded(_fentry, explain),
        Way.KPROBE: _guarded(_kprobe, explain),
        Way.BREAKPOINT: _guarded(lambda: _breakpoint(places.get(HARMLESS), explain), explain),
        Way.RAW_TRACEPOINT: _guarded(_raw_tracepoint, explain),
    }


def program_types(explain: Explain) -> dict[str, Finding]:
    """Try to load a program of each type that routes use; `tracing` needs a target, so fentry tells."""

    def loadable(kind: ProgramType) -> Finding:
        os.close(programs.load(kind))
        return Finding(answer=True)

    kinds = [kind for kind in ProgramType if kind is not ProgramType.TRACING]
    return {kind.name.lower(): _guarded(partial(loadable, kind), explain) for kind in kinds}


def _fentry() -> Finding:
    with KernelTypes() as types:
        number = types.function_id(HARMLESS)
    if number is None:
        return Finding(answer=None, said=f"no {HARMLESS} to try it on")
    program = _load_reader(ProgramType.TRACING, attach_type=FENTRY, attach_btf_id=number)
    try:
        os.close(programs.check(libbpf.library().bpf_raw_tracepoint_open(None, program)))
    finally:
        os.close(program)
    return Finding(answer=True, said=f"attached to {HARMLESS}")


def _load_reader(kind: ProgramType, *, attach_type: int = 0, attach_btf_id: int = 0) -> int:
    """Load a program that reads kernel memory, as every probe does.

    The verifier says EINVAL where lockdown has withdrawn the helper (kernel/trace/bpf_trace.c,
    LOCKDOWN_BPF_READ_KERNEL); a program that reads nothing is still allowed there.
    """
    load = partial(programs.load, kind, attach_type=attach_type, attach_btf_id=attach_btf_id)
    try:
        return load(programs.READ_KERNEL)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    os.close(load())
    raise OSError(errno.EPERM, "BPF programs may not read kernel memory")


def _kprobe() -> Finding:
    try:
        kind = int(_KPROBE_TYPE.read_text())
    except FileNotFoundError:
        if _kprobe_events():
            return Finding(answer=True, said="by kprobe_events")
        return Finding(answer=False, said="the kernel offers no kprobe events", remedy=_NO_KPROBES)
    name = ctypes.create_string_buffer(HARMLESS.encode())
    os.close(perf.open_event(perf.Event(kind=kind, config1=ctypes.addressof(name))))
    return Finding(answer=True, said=f"attached to {HARMLESS}")


def _kprobe_events() -> bool:
    """Whether tracefs offers kprobes, the way before Linux 4.17.

    e12f03d7031a ("perf/core: Implement the 'perf_kprobe' PMU")
    """
    root = ftrace.tracefs()
    return root is not None and (root / "kprobe_events").exists()


def _breakpoint(place: Place | None, explain: Explain) -> Finding:
    if place is None or not place.address:
        return Finding(answer=None, said="no kernel address to try it on", remedy=_ADDRESSES)
    try:
        descriptor = perf.open_event(
            perf.Event(
                kind=perf.TYPE_BREAKPOINT,
                bp_type=perf.HW_BREAKPOINT_X,
                config1=place.address,
                config2=ctypes.sizeof(ctypes.c_long),
            )
        )
    except OSError as error:
        if error.errno == errno.EINVAL and not _KPROBE_TYPE.exists() and not _kprobe_events():
            # arch/x86/kernel/hw_breakpoint.c, arch_build_bp_info(): not without kprobes' blacklist.
            return Finding(
                answer=False,
                said="a kernel without kprobes allows no breakpoints in its text",
                remedy=_NO_KPROBES,
            )
        return explain(error)
    os.close(descriptor)
    return Finding(answer=True, said=f"set on {HARMLESS}")


def _raw_tracepoint() -> Finding:
    """Attach to a tracepoint that does not exist: to be told just that is to be allowed to attach."""
    program = _load_reader(ProgramType.RAW_TRACEPOINT)
    try:
        os.close(programs.check(libbpf.library().bpf_raw_tracepoint_open(_NO_SUCH_TRACEPOINT, program)))
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
    finally:
        os.close(program)
    return Finding(answer=True, said="loaded")
