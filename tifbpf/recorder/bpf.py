"""Maps, programs and links by descriptor, through libbpf: what is left to do once bcc has compiled."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from tifbpf.errors import BpfRefusedError
from tifbpf.host import libbpf

BPF_ANY = 0
_RUN_TIME = 0
"""BPF_STATS_RUN_TIME of enum bpf_stats_type."""

_ENOTSUPP = 524  # the kernel's own, not among errno's; what it answers where a map type has no batches


class _BatchOptions(libbpf.Options):
    """struct bpf_map_batch_opts."""

    _fields_ = (("sz", ctypes.c_size_t), ("elem_flags", ctypes.c_uint64), ("flags", ctypes.c_uint64))


class ProgramInfo(ctypes.Structure):
    """struct bpf_prog_info up to recursion_misses (Linux 5.12), in its order and alignment."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("tag", ctypes.c_uint8 * 8),
        ("jited_prog_len", ctypes.c_uint32),
        ("xlated_prog_len", ctypes.c_uint32),
        ("jited_prog_insns", ctypes.c_uint64),
        ("xlated_prog_insns", ctypes.c_uint64),
        ("load_time", ctypes.c_uint64),
        ("created_by_uid", ctypes.c_uint32),
        ("nr_map_ids", ctypes.c_uint32),
        ("map_ids", ctypes.c_uint64),
        ("name", ctypes.c_char * 16),
        ("ifindex", ctypes.c_uint32),
        ("gpl_compatible", ctypes.c_uint32),
        ("netns_dev", ctypes.c_uint64),
        ("netns_ino", ctypes.c_uint64),
        ("nr_jited_ksyms", ctypes.c_uint32),
        ("nr_jited_func_lens", ctypes.c_uint32),
        ("jited_ksyms", ctypes.c_uint64),
        ("jited_func_lens", ctypes.c_uint64),
        ("btf_id", ctypes.c_uint32),
        ("func_info_rec_size", ctypes.c_uint32),
        ("func_info", ctypes.c_uint64),
        ("nr_func_info", ctypes.c_uint32),
        ("nr_line_info", ctypes.c_uint32),
        ("line_info", ctypes.c_uint64),
        ("jited_line_info", ctypes.c_uint64),
        ("nr_jited_line_info", ctypes.c_uint32),
        ("line_info_rec_size", ctypes.c_uint32),
        ("jited_line_info_rec_size", ctypes.c_uint32),
        ("nr_prog_tags", ctypes.c_uint32),
        ("prog_tags", ctypes.c_uint64),
        ("run_time_ns", ctypes.c_uint64),
        ("run_cnt", ctypes.c_uint64),
        ("recursion_misses", ctypes.c_uint64),
    )


class _MapInfo(ctypes.Structure):
    """The head of struct bpf_map_info."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("key_size", ctypes.c_uint32),
        ("value_size", ctypes.c_uint32),
        ("max_entries", ctypes.c_uint32),
        ("map_flags", ctypes.c_uint32),
    )


@functools.cache
def _library() -> ctypes.CDLL:
    return libbpf.library()


@functools.cache
def possible_cpus() -> int:
    """Return the number of per-CPU slots in a map's value, which CPU hotplug may make larger than online."""
    return int(_library().libbpf_num_possible_cpus())


def _check(result: int, what: str) -> int:
    if result < 0:
        code = libbpf.error_of(result)
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


@contextlib.contextmanager
def unpreempted() -> Iterator[None]:
    """Keep the CPU for a call of bpf(2) on a map, by the lowest real-time priority, if we may.

    The call switches off the programs of kprobes and perf events on its CPU until it is done
    (bpf_disable_instrumentation() in include/linux/bpf.h), and a preemptible kernel may let another task run
    there meanwhile: all exits of that task would be missed.
    """
    policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    raised = False
    if policy in (os.SCHED_OTHER, os.SCHED_BATCH, os.SCHED_IDLE):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
            raised = True
    try:
        yield
    finally:
        if raised:
            os.sched_setscheduler(0, policy, parameter)


def _pointer(buffer: bytearray) -> ctypes.Array[ctypes.c_char]:
    return (ctypes.c_char * len(buffer)).from_buffer(buffer)


class Descriptor:
    """A kernel object that lives as long as its descriptor."""

    def __init__(self, fd: int) -> None:
        """Own `fd`."""
        self.fd = fd

    def close(self) -> None:
        """Give the object back to the kernel; harmless when done twice."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Map(Descriptor):
    """A BPF map; keys and values are bytes."""

    def __init__(self, fd: int) -> None:
        """Own `fd` and ask the kernel for the sizes."""
        super().__init__(fd)
        info = _MapInfo()
        size = ctypes.c_uint32(ctypes.sizeof(info))
        _check(
            _library().bpf_obj_get_info_by_fd(fd, ctypes.byref(info), ctypes.byref(size)),
            "BPF_OBJ_GET_INFO_BY_FD",
        )
        self.key_size = int(info.key_size)
        self.value_size = int(info.value_size)
        self.max_entries = int(info.max_entries)

    def update(self, key: bytes, value: bytes) -> None:
        """Set `key` to `value`."""
        with unpreempted():
            result = _library().bpf_map_update_elem(self.fd, key, value, BPF_ANY)
        _check(result, "BPF_MAP_UPDATE_ELEM")

    def lookup(self, key: bytes, size: int | None = None) -> bytes | None:
        """Return the value of `key` (`size` bytes where it is per CPU), None if there is none."""
        value = ctypes.create_string_buffer(size or self.value_size)
        with unpreempted():
            result = _library().bpf_map_lookup_elem(self.fd, key, value)
        if result < 0 and ctypes.get_errno() == errno.ENOENT:
            return None
        _check(result, "BPF_MAP_LOOKUP_ELEM")
        return value.raw

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield the elements of a small, quiet map."""
        key: bytes | None = None
        following = ctypes.create_string_buffer(self.key_size)
        while _library().bpf_map_get_next_key(self.fd, key, following) == 0:
            key = following.raw
            if (value := self.lookup(key)) is not None:
                yield key, value

    def clear(self) -> None:
        """Delete every element."""
        for key in [key for key, _ in self.items()]:
            with unpreempted():
                _library().bpf_map_delete_elem(self.fd, key)


class PerCpuHash(Map):
    """A per-CPU hash that is emptied in batches."""

    BATCH = 4096

    def __init__(self, fd: int) -> None:
        """Own `fd`."""
        super().__init__(fd)
        self._stride = (self.value_size + 7) // 8 * 8 * possible_cpus()
        room = min(self.BATCH, self.max_entries)
        self._room = room
        self._keys = bytearray(room * self.key_size)
        self._values = bytearray(room * self._stride)
        self._batches = True

    def drain(self) -> Iterator[tuple[memoryview, memoryview]]:
        """Take all elements out; yield them as (keys, values), valid until the next step.

        The caller makes sure that no program writes to the map meanwhile.

        Raises:
            OSError: the kernel refused.
        """
        if self._batches:
            try:
                yield from self._drain_batches()
            except OSError as error:
                if error.errno not in (errno.EINVAL, _ENOTSUPP):
                    raise
                self._batches = False
            else:
                return
        yield from self._drain_singly()

    def _drain_batches(self) -> Iterator[tuple[memoryview, memoryview]]:
        options = _BatchOptions()
        cursor = ctypes.create_string_buffer(max(self.key_size, 8))
        previous = None
        while True:
            count = ctypes.c_uint32(self._room)
            with unpreempted():
                result = _library().bpf_map_lookup_and_delete_batch(
                    self.fd,
                    previous,
                    cursor,
                    _pointer(self._keys),
                    _pointer(self._values),
                    ctypes.byref(count),
                    ctypes.byref(options),
                )
            end = result < 0 and ctypes.get_errno() == errno.ENOENT
            if not end and result < 0 and ctypes.get_errno() == errno.ENOSPC:
                # One bucket held more than there was room for: it stays, and wants a larger buffer.
                self._grow()
                continue
            if not end:
                _check(result, "BPF_MAP_LOOKUP_AND_DELETE_BATCH")
            if count.value:
                yield (
                    memoryview(self._keys)[: count.value * self.key_size],
                    memoryview(self._values)[: count.value * self._stride],
                )
            if end:
                return
            previous = cursor

    def _grow(self) -> None:
        self._room *= 2
        self._keys = bytearray(self._room * self.key_size)
        self._values = bytearray(self._room * self._stride)

    def _drain_singly(self) -> Iterator[tuple[memoryview, memoryview]]:
        keys, values = memoryview(self._keys)[: self.key_size], memoryview(self._values)[: self._stride]
        key, value = _pointer(self._keys), _pointer(self._values)
        while _library().bpf_map_get_next_key(self.fd, None, key) == 0:
            with unpreempted():
                _check(_library().bpf_map_lookup_elem(self.fd, key, value), "BPF_MAP_LOOKUP_ELEM")
                _check(_library().bpf_map_delete_elem(self.fd, key), "BPF_MAP_DELETE_ELEM")
            yield keys, values


class Program(Descriptor):
    """A loaded program."""

    def recursion_misses(self) -> int:
        """Return how many runs the kernel skipped; 0 on kernels that do not count them (before 5.12)."""
        return int(self.info().recursion_misses)

    def run_time_ns(self) -> int:
        """Return how long it ran, all runs together, while `enable_run_times` held."""
        return int(self.info().run_time_ns)

    def info(self) -> ProgramInfo:
        """Return what the kernel tells about it."""
        info = ProgramInfo()
        size = ctypes.c_uint32(ctypes.sizeof(info))
        _check(
            _library().bpf_obj_get_info_by_fd(self.fd, ctypes.byref(info), ctypes.byref(size)),
            "BPF_OBJ_GET_INFO_BY_FD",
        )
        return info

    def run_here(self) -> None:
        """Run it once in this task, without attaching it (BPF_PROG_TEST_RUN).

        Raises:
            OSError: the kernel cannot do that for this type (raw tracepoints: since 5.10).
        """
        options = libbpf.TestRunOptions()
        _check(_library().bpf_prog_test_run_opts(self.fd, ctypes.byref(options)), "BPF_PROG_TEST_RUN")


def enable_run_times() -> Descriptor:
    """Let the kernel take the run time of all BPF programs, for as long as the result is open.

    Raises:
        OSError: the kernel has no such call (before Linux 5.8).
    """
    return Descriptor(_check(_library().bpf_enable_stats(_RUN_TIME), "BPF_ENABLE_STATS"))


def attach_raw_tracepoint(name: str, program: Program) -> Descriptor:
    """Attach `program` to the raw tracepoint `name`, for as long as the result is open.

    Raises:
        BpfRefusedError: the kernel refused.
    """
    try:
        fd = _check(_library().bpf_raw_tracepoint_open(name.encode(), program.fd), "BPF_RAW_TRACEPOINT_OPEN")
    except OSError as error:
        raise BpfRefusedError(
            f"the kernel refused the raw tracepoint {name}: {error.strerror}; see `tifbpf doctor`"
        ) from error
    return Descriptor(fd)


class GracePeriod:
    """Waits until every BPF program that was running has ended.

    The kernel promises just that to whoever updates a map of maps, since Linux commit 1ae80cf31938 ("bpf:
    wait for running BPF programs when updating map-in-map", October 2018). membarrier(2) would do as well,
    but is refused where a CPU runs with nohz_full.
    """

    def __init__(self) -> None:
        """Make a map of maps whose only purpose is to be updated.

        Raises:
            OSError: the kernel has no such maps.
        """
        self._inner = Descriptor(self._create(libbpf.MAP_TYPE_ARRAY, b"tifbpf_inner", 0))
        self._outer = Descriptor(self._create(libbpf.MAP_TYPE_ARRAY_OF_MAPS, b"tifbpf_outer", self._inner.fd))

    @staticmethod
    def _create(kind: int, name: bytes, inner: int) -> int:
        options = libbpf.MapCreateOptions(inner_map_fd=inner)
        return _check(
            _library().bpf_map_create(kind, name, 4, 4, 1, ctypes.byref(options)), f"BPF_MAP_CREATE {name!r}"
        )

    def wait(self) -> None:
        """Return once the programs that were running when this was called have ended."""
        with unpreempted():
            result = _library().bpf_map_update_elem(
                self._outer.fd, bytes(4), self._inner.fd.to_bytes(4, "little"), BPF_ANY
            )
        _check(result, "BPF_MAP_UPDATE_ELEM of a map of maps")

    def close(self) -> None:
        """Give both maps back."""
        self._outer.close()
        self._inner.close()
