"""Compile a request with bcc and print its programs' instructions and its maps: a child, for LLVM."""

from __future__ import annotations

import ctypes
import os
import sys

import msgspec

from tifbpf.host import libbpf
from tifbpf.recorder.compiler import Request


def map_info(descriptor: int) -> tuple[int, int, int]:
    # The head of struct bpf_map_info: type, id, key_size, value_size.
    info = (ctypes.c_uint32 * 6)()
    size = ctypes.c_uint32(ctypes.sizeof(info))
    assert libbpf.library().bpf_obj_get_info_by_fd(descriptor, ctypes.byref(info), ctypes.byref(size)) == 0
    return info[0], info[2], info[3]


def main() -> None:
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    os.environ["BCC_KERNEL_SOURCE"] = str(request.kernel_source)
    from bcc import BPF

    module = BPF(text=request.text, cflags=request.cflags)
    for name in request.programs:
        module.load_func(name, BPF.KPROBE)
    dumped = {
        "programs": {name: module.dump_func(name).hex() for name in request.programs},
        "maps": {module[name].map_fd: map_info(module[name].map_fd) for name in request.maps},
    }
    sys.stdout.buffer.write(msgspec.json.encode(dumped))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
