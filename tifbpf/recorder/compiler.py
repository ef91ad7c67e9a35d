"""The child that compiles.

LLVM never leaves a process that has used it (some 60 MB), so the recorder starts this module as a program of
its own, which compiles and loads with bcc, hands the descriptors over and ends. The protocol, on the Unix
socket whose descriptor is the only argument: a JSON line in (`Request`), a JSON line out (`Reply`) together
with the descriptors of all programs, then of all maps, in the order of the request.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
import sys
from typing import Any

import msgspec

from tifbpf.host import unprivileged

# What one SCM_RIGHTS message carries: net/core/scm.h, SCM_MAX_FD.
MAX_DESCRIPTORS = 253


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to compile, and what of it to hand over."""

    text: str
    cflags: list[str]
    kernel_source: str | None
    """What bcc takes for the kernel's headers; None: it looks for those of the running kernel itself."""
    programs: dict[str, str]
    """Function to program type, a name of bcc's BPF class such as RAW_TRACEPOINT."""
    attach_types: dict[str, int] = {}
    """Function to expected_attach_type, where neither its type nor its name (kfunc__, kretfunc__) says it."""
    maps: list[str]


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """None, or one line."""

    error: str | None = None
    program: str | None = None
    """The program that the kernel refused, where it was one."""


def _read_line(channel: socket.socket) -> bytes:
    with channel.makefile("rb") as stream:
        return stream.readline()


class _RefusedError(Exception):
    """The kernel refused `program`."""

    def __init__(self, program: str, cause: Exception) -> None:
        super().__init__(str(cause))
        self.program = program


def _without_kallsyms() -> None:
    """Let bcc not read all of kallsyms, which takes longer than to compile: it does so for user 0 alone.

    It looks for bpf_probe_read_kernel there (DoMiscWorkAround in frontends/clang/b_frontend_action.cc), which
    it calls bpf_probe_read where it does not find it. `addresses.Addresses.text` makes that good.
    """
    with contextlib.suppress(OSError):
        unprivileged.act_as_nobody()


def _compile(request: Request) -> tuple[list[int], object]:
    if request.kernel_source is not None:
        os.environ["BCC_KERNEL_SOURCE"] = request.kernel_source
    from bcc import BPF

    _without_kallsyms()
    # bcc would attach, here and now, what has a name such as kfunc__…; which program it was that the kernel
    # refused then, it does not say.
    unattached = type("Unattached", (BPF,), {"_trace_autoload": lambda _: None})
    module: Any = unattached(text=request.text, cflags=request.cflags)
    programs = []
    for function, kind in request.programs.items():
        try:
            expected = {}
            if function in request.attach_types:
                expected["attach_type"] = request.attach_types[function]
            programs.append(module.load_func(function, getattr(BPF, kind), **expected).fd)
        except Exception as error:
            raise _RefusedError(function, error) from error
    maps = [int(module[name].map_fd) for name in request.maps]
    return programs + maps, module


def _main(channel: socket.socket) -> None:
    # While we wait for the request; whatever is wrong with it is told below.
    with contextlib.suppress(Exception):
        importlib.import_module("bcc")
    request = msgspec.json.decode(_read_line(channel), type=Request)
    descriptors: list[int] = []
    module = None
    try:
        descriptors, module = _compile(request)
        reply = Reply()
    except Exception as error:
        # bcc raises plain Exception, and the parent has to hear of all that goes wrong here.
        reply = Reply(
            error=" ".join(str(error).split()) or type(error).__name__,
            program=error.program if isinstance(error, _RefusedError) else None,
        )
    socket.send_fds(channel, [msgspec.json.encode(reply) + b"\n"], descriptors)
    # The descriptors must stay open until they are sent; LLVM's own clean-up is not worth waiting for.
    del module
    channel.close()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    _main(socket.socket(fileno=int(sys.argv[1])))
