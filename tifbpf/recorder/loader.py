"""From the BPF sources to descriptors: the text, its definitions, the compiling child."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping

import msgspec

from tifbpf import resources
from tifbpf.errors import BpfRefusedError
from tifbpf.recorder import compiler
from tifbpf.recorder.abi import defines, shared_defines

_SHARED = "exits.h"
_USER_HEADERS = ("/usr/include", "/usr/include/x86_64-linux-gnu")


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """Descriptors by name; whoever takes one owns it."""

    programs: dict[str, int]
    maps: dict[str, int]


def source(probe: str) -> str:
    """Return the text of one probe behind the shared header.

    One text, because bcc rewrites map accesses only in the file that it is given, not in what that includes.
    """
    probes = resources.directory("probes")
    return "\n".join(f'#line 1 "{name}"\n{(probes / name).read_text()}' for name in (_SHARED, probe))


def load(
    probe: str,
    definitions: Mapping[str, int | str | None],
    programs: Mapping[str, str],
    maps: list[str],
) -> Loaded:
    """Compile `probe` in a child and take over its programs and maps.

    Raises:
        BpfRefusedError: it does not compile, or the kernel refuses to load it.
    """
    request = compiler.Request(
        text=source(probe),
        cflags=[
            *defines({**shared_defines(), **definitions}),
            *(flag for directory in _USER_HEADERS for flag in ("-idirafter", directory)),
        ],
        kernel_source=str(resources.directory("probes") / "kernel-tree"),
        programs=dict(programs),
        maps=maps,
    )
    ours, theirs = socket.socketpair()
    # A file, not a pipe: clang may complain at length before anybody reads.
    with ours, tempfile.TemporaryFile() as stderr:
        with theirs:
            child = subprocess.Popen(
                [sys.executable, "-m", compiler.__name__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
        ours.sendall(msgspec.json.encode(request) + b"\n")
        data, descriptors, _, _ = socket.recv_fds(ours, 65536, compiler.MAX_DESCRIPTORS)
        child.wait()
        stderr.seek(0)
        complaints = stderr.read()
    if not data:
        cause = _first_line(complaints) or f"exit code {child.returncode}"
        raise BpfRefusedError(f"the compiler of the BPF programs died: {cause}; see `tifbpf doctor`")
    reply = msgspec.json.decode(data, type=compiler.Reply)
    if reply.error is not None:
        detail = _first_line(complaints)
        raise BpfRefusedError(
            f"the BPF programs were refused: {reply.error}{f' ({detail})' if detail else ''}; "
            "see `tifbpf doctor`"
        )
    names = [*programs, *maps]
    by_name = dict(zip(names, descriptors, strict=True))
    return Loaded(
        programs={name: by_name[name] for name in programs},
        maps={name: by_name[name] for name in maps},
    )


def _first_line(complaints: bytes) -> str:
    lines = complaints.decode(errors="replace").splitlines()
    telling = [line.strip() for line in lines if "error" in line.lower()] or [
        line.strip() for line in lines if line.strip()
    ]
    return telling[0] if telling else ""
