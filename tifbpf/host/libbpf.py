"""libbpf, the library that comes with bcc: loaded once, with the types of the functions that host/ calls."""

from __future__ import annotations

import ctypes
import functools

from tifbpf.errors import NoLibbpfError
from tifbpf.host import distribution

_NAMES = ("libbpf.so.1", "libbpf.so.0")
_PACKAGES = {
    "debian": "libbpf1",
    "ubuntu": "libbpf1",
    "fedora": "libbpf",
    "rhel": "libbpf",
    "arch": "libbpf",
}

_int, _u32, _text, _pointer = ctypes.c_int, ctypes.c_uint32, ctypes.c_char_p, ctypes.c_void_p
MAP_TYPE_ARRAY = 2
MAP_TYPE_ARRAY_OF_MAPS = 12
"""enum bpf_map_type (include/uapi/linux/bpf.h)."""

_SIGNATURES = {
    "btf__load_vmlinux_btf": (_pointer, []),
    "btf__find_by_name_kind": (ctypes.c_int32, [_pointer, _text, _u32]),
    "btf__type_by_id": (_pointer, [_pointer, _u32]),
    "btf__name_by_offset": (_text, [_pointer, _u32]),
    "btf__free": (None, [_pointer]),
    "bpf_prog_load": (_int, [_int, _text, _text, _pointer, ctypes.c_size_t, _pointer]),
    "bpf_raw_tracepoint_open": (_int, [_text, _int]),
    "bpf_task_fd_query": (_int, [_int, _int, _u32, _pointer, *[_pointer] * 5]),
}


@functools.cache
def library() -> ctypes.CDLL:
    """Return libbpf 1, or libbpf 0 where that is what there is; errno is kept for `ctypes.get_errno()`.

    Functions that fail return a negative number or null; use `error_of` for the errno.

    Raises:
        NoLibbpfError: it is not installed.
    """
    for name in _NAMES:
        try:
            found = ctypes.CDLL(name, use_errno=True)
        except OSError:
            continue
        for function, (result, arguments) in _SIGNATURES.items():
            # bpf_prog_load came with libbpf 0.6; calling what is not there is an AttributeError.
            if hasattr(found, function):
                getattr(found, function).restype = result
                getattr(found, function).argtypes = arguments
        # It would write to stderr beside our one line; what went wrong comes back as a number.
        found.libbpf_set_print(None)
        return found
    raise NoLibbpfError(f"libbpf is not installed: {distribution.install(_PACKAGES)}")


def error_of(result: int) -> int:
    """Return the errno behind a negative result: libbpf 1 returns it, libbpf 0 returns -1 and sets errno."""
    return -result if result < -1 else ctypes.get_errno()


class Options(ctypes.Structure):
    """What libbpf's struct *_opts have in common: their own size first, which tells versions apart."""

    def __init__(self, **fields: object) -> None:
        """Set `fields`, and `sz`."""
        super().__init__(sz=ctypes.sizeof(self), **fields)


class MapCreateOptions(Options):
    """struct bpf_map_create_opts."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("btf_fd", ctypes.c_uint32),
        ("btf_key_type_id", ctypes.c_uint32),
        ("btf_value_type_id", ctypes.c_uint32),
        ("btf_vmlinux_value_type_id", ctypes.c_uint32),
        ("inner_map_fd", ctypes.c_uint32),
        ("map_flags", ctypes.c_uint32),
        ("map_extra", ctypes.c_uint64),
        ("numa_node", ctypes.c_uint32),
        ("map_ifindex", ctypes.c_uint32),
    )


class TestRunOptions(Options):
    """struct bpf_test_run_opts."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("data_in", ctypes.c_void_p),
        ("data_out", ctypes.c_void_p),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_void_p),
        ("ctx_out", ctypes.c_void_p),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("repeat", ctypes.c_int),
        ("duration", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("batch_size", ctypes.c_uint32),
    )
