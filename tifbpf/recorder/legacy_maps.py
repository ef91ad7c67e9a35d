"""Maps of kernels that have few words for them: sizes known beforehand, no batches, nothing per CPU."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator

from tifbpf.host import libbpf
from tifbpf.recorder import links
from tifbpf.recorder.bpf import BPF_ANY, Descriptor


class PlainMap(Descriptor):
    """A hash or an array; keys and values are bytes.

    Its sizes are given: BPF_OBJ_GET_INFO_BY_FD came with Linux 4.13.
    """

    def __init__(self, fd: int, key_size: int, value_size: int) -> None:
        """Own `fd`."""
        super().__init__(fd)
        self.key_size = key_size
        self.value_size = value_size

    def update(self, key: bytes, value: bytes) -> None:
        """Set `key` to `value`."""
        _check(libbpf.library().bpf_map_update_elem(self.fd, key, value, BPF_ANY), "BPF_MAP_UPDATE_ELEM")

    def lookup(self, key: bytes) -> bytes | None:
        """Return the value of `key`, None if there is none."""
        value = ctypes.create_string_buffer(self.value_size)
        result = libbpf.library().bpf_map_lookup_elem(self.fd, key, value)
        if result < 0 and libbpf.error_of(result) == errno.ENOENT:
            return None
        _check(result, "BPF_MAP_LOOKUP_ELEM")
        return value.raw

    def keys(self) -> Iterator[bytes]:
        """Yield the keys of a hash that nobody writes meanwhile, and that has no key of ones alone.

        What comes after a key that is not there is the first one, on every kernel; to ask with no key at all
        came with Linux 4.12 (8fe45924387b, "bpf: map_get_next_key to return first key on NULL").
        """
        key = b"\xff" * self.key_size
        following = ctypes.create_string_buffer(self.key_size)
        while True:
            result = libbpf.library().bpf_map_get_next_key(self.fd, key, following)
            if result < 0 and libbpf.error_of(result) == errno.ENOENT:
                return
            _check(result, "BPF_MAP_GET_NEXT_KEY")
            key = following.raw
            yield key

    def drain(self) -> Iterator[tuple[bytes, bytes]]:
        """Take all elements out of a hash that nobody writes meanwhile."""
        for key in list(self.keys()):
            if (value := self.lookup(key)) is not None:
                yield key, value
            _check(libbpf.library().bpf_map_delete_elem(self.fd, key), "BPF_MAP_DELETE_ELEM")


def _check(result: int, what: str) -> None:
    if result < 0:
        code = libbpf.error_of(result)
        raise OSError(code, f"{what}: {os.strerror(code)}")


def pass_over_cpus() -> None:
    """Return once every kprobe program that was running has ended.

    Such programs run with preemption off, so one that was running on a CPU has ended once that CPU runs us.
    (What newer kernels promise, see `bpf.GracePeriod`, came with 4.20, and membarrier(2) with 4.3.)

    Raises:
        OSError: a CPU may not be used from here (a cpuset).
    """
    allowed = os.sched_getaffinity(0)
    try:
        for cpu in links.online_cpus():
            try:
                os.sched_setaffinity(0, {cpu})
            except OSError:
                # Taken offline meanwhile: nothing runs there then.
                if cpu in links.online_cpus():
                    raise
    finally:
        os.sched_setaffinity(0, allowed)
