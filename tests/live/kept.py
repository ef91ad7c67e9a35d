"""What a recorder keeps of root on this kernel, found without it."""

from __future__ import annotations

import ctypes
import errno
import functools
import os

from tifbpf.host import libbpf, programs
from tifbpf.host.privileges import Capability
from tifbpf.recorder.bpf import Map

_NOBODY = 65534
_ARRAY = 2
_READ, _REFUSED, _FAILED = range(3)

NONE = "0" * 16
"""No capability, as /proc/PID/status has it."""


def mask(*capabilities: Capability) -> str:
    """Return a set of capabilities as /proc/PID/status has it."""
    return f"{sum(1 << capability for capability in capabilities):016x}"


@functools.cache
def for_maps() -> tuple[Capability, ...]:
    """Return what it takes to read a map by its descriptor: nothing, or CAP_BPF before Linux 5.19."""
    options = libbpf.MapCreateOptions()
    created = libbpf.library().bpf_map_create(_ARRAY, b"kept", 4, 8, 1, ctypes.byref(options))
    with Map(programs.check(created)) as one:
        child = os.fork()
        if not child:
            os._exit(_as_nobody(one))
        _, status = os.waitpid(child, 0)
    return {_READ: (), _REFUSED: (Capability.CAP_BPF,)}[os.waitstatus_to_exitcode(status)]


def _as_nobody(one: Map) -> int:
    try:
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        one.lookup(bytes(4))
    except OSError as error:
        return _REFUSED if error.errno == errno.EPERM else _FAILED
    return _READ
