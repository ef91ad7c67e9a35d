"""The child that compiles.

LLVM never leaves a process that has used it (some 60 MB), so the recorder starts this module as a program of
its own, which compiles and loads with bcc, hands the descriptors over and ends. The protocol, on the Unix
socket whose descriptor is the only argument: a JSON line in (`Request`), a JSON line out (`Reply`) together
with the descriptors of all programs, then of all maps, in the order of the request.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

import msgspec

# What one SCM_RIGHTS message carries: net/core/scm.h, SCM_MAX_FD.
MAX_DESCRIPTORS = 253


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to compile, and what of it to hand over."""

    text: str
    cflags: list[str]
    kernel_source: str
    """What bcc takes for the kernel's headers."""
    programs: dict[str, str]
    """Function to program type, a name of bcc's BPF class such as RAW_TRACEPOINT."""
    maps: list[str]


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """None, or one line."""

    error: str | None = None


def _read_line(channel: socket.socket) -> bytes:
    with channel.makefile("rb") as stream:
        return stream.readline()


def _compile(request: Request) -> tuple[list[int], object]:
    os.environ["BCC_KERNEL_SOURCE"] = request.kernel_source
    from bcc import BPF

    module: Any = BPF(text=request.text, cflags=request.cflags)
    programs = [
        module.load_func(function, getattr(BPF, kind)).fd for function, kind in request.programs.items()
    ]
    maps = [int(module[name].map_fd) for name in request.maps]
    return programs + maps, module


def _main(channel: socket.socket) -> None:
    request = msgspec.json.decode(_read_line(channel), type=Request)
    descriptors: list[int] = []
    module = None
    try:
        descriptors, module = _compile(request)
        reply = Reply()
    except Exception as error:
        # bcc raises plain Exception, and the parent has to hear of all that goes wrong here.
        reply = Reply(error=" ".join(str(error).split()) or type(error).__name__)
    socket.send_fds(channel, [msgspec.json.encode(reply) + b"\n"], descriptors)
    # The descriptors must stay open until they are sent; LLVM's own clean-up is not worth waiting for.
    del module
    channel.close()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    _main(socket.socket(fileno=int(sys.argv[1])))
