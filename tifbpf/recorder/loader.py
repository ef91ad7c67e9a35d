"""From the BPF sources to descriptors: the text, its definitions, the compiling child."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

import msgspec

from tifbpf import resources
from tifbpf.errors import BpfRefusedError
from tifbpf.recorder import compiler
from tifbpf.recorder.abi import defines, shared_defines

_SHARED = ("exits.h", "hooks.h")
USER_HEADERS = ("-idirafter", "/usr/include", "-idirafter", "/usr/include/x86_64-linux-gnu")
"""Flags: what the kernel tree of probes/ takes from the C library's headers."""


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """Descriptors by name; whoever takes one owns it."""

    programs: dict[str, int]
    maps: dict[str, int]


class ProgramRefusedError(BpfRefusedError):
    """The kernel refused to load one of the programs."""

    def __init__(self, message: str, program: str) -> None:
        """Say which."""
        super().__init__(message)
        self.program = program


def source(probes: Sequence[str], *, before: str, after: str) -> str:
    """Return the text of some probes behind what they share.

    One text, because bcc rewrites map accesses only in the file that it is given, not in what that includes.
    """
    directory = resources.directory("probes")
    files = [
        f'#line 1 "{name}"\n{(directory / name).read_text()}' for name in dict.fromkeys((*_SHARED, *probes))
    ]
    return "\n".join([before, *files, after])


def load(
    *,
    sources: Sequence[str],
    before: str,
    after: str,
    definitions: Mapping[str, int | str | None],
    programs: Mapping[str, str],
    attach_types: Mapping[str, int],
    maps: list[str],
) -> Loaded:
    """Compile in a child and take over programs and maps.

    Args:
        sources: files of probes/, without the shared ones.
        before: C to put in front of them.
        after: C to put behind them.
        definitions: what to define; see `abi.defines`.
        programs: function to program type, as bcc's BPF class calls it.
        attach_types: function to expected_attach_type, where the kernel has to know it at loading.
        maps: the maps to take over.

    Raises:
        ProgramRefusedError: the kernel refuses to load a program.
        BpfRefusedError: it does not compile.
    """
    return run(
        compiler.Request(
            text=source(sources, before=before, after=after),
            cflags=[
                *defines({**shared_defines(), **definitions}),
                *USER_HEADERS,
            ],
            kernel_source=str(resources.directory("probes") / "kernel-tree"),
            programs=dict(programs),
            attach_types=dict(attach_types),
            maps=maps,
        )
    )


class _Compiler:
    """The compiling child, for one request; a context manager."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        """Start it; it loads what it compiles with until it is asked.

        Args:
            meanwhile: what to do here while it compiles.
        """
        self._meanwhile = meanwhile
        self._channel, theirs = socket.socketpair()
        # A file, not a pipe: clang may complain at length before anybody reads.
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the channel)
        with theirs:
            self._child = subprocess.Popen(
                [sys.executable, "-m", compiler.__name__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._complaints,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Without a request, the end of the channel ends it.
        self._channel.close()
        self._child.wait()
        self._complaints.close()

    def compile(self, request: compiler.Request) -> Loaded:
        """Take over programs and maps; once.

        Raises:
            ProgramRefusedError: the kernel refuses to load a program.
            BpfRefusedError: it does not compile.
        """
        data, descriptors = b"", list[int]()
        # What the child died of is said below; SIGPIPE would end us without a word.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._channel.sendall(msgspec.json.encode(request) + b"\n", socket.MSG_NOSIGNAL)
            self._meanwhile()
            data, descriptors, _, _ = socket.recv_fds(self._channel, 65536, compiler.MAX_DESCRIPTORS)
        self._child.wait()
        self._complaints.seek(0)
        complaints = self._complaints.read()
        if not data:
            cause = _first_line(complaints) or _end(self._child.returncode)
            raise BpfRefusedError(f"the compiler of the BPF programs died: {cause}; see `tifbpf doctor`")
        reply = msgspec.json.decode(data, type=compiler.Reply)
        if reply.error is not None:
            detail = _first_line(complaints)
            told = f"{reply.error}{f' ({detail})' if detail else ''}; see `tifbpf doctor`"
            if reply.program is not None:
                raise ProgramRefusedError(
                    f"the kernel refused the program {reply.program}: {told}", reply.program
                )
            raise BpfRefusedError(f"the BPF programs were refused: {told}")
        names = [*request.programs, *request.maps]
        by_name = dict(zip(names, descriptors, strict=True))
        return Loaded(
            programs={name: by_name[name] for name in request.programs},
            maps={name: by_name[name] for name in request.maps},
        )


_prepared: list[_Compiler] = []


@contextlib.contextmanager
def prepared(meanwhile: Callable[[], object]) -> Iterator[None]:
    """Have a child that is ready by the time when there is something to compile.

    Args:
        meanwhile: what to do here while it compiles, which takes some 100 ms.
    """
    _prepared.append(_Compiler(meanwhile))
    try:
        yield
    finally:
        while _prepared:
            with _prepared.pop():
                pass


def run(request: compiler.Request) -> Loaded:
    """Compile in a child and take over programs and maps.

    Raises:
        ProgramRefusedError: the kernel refuses to load a program.
        BpfRefusedError: it does not compile.
    """
    with _prepared.pop() if _prepared else _Compiler(lambda: None) as child:
        return child.compile(request)


def _end(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    hint = ", as where memory runs out" if -code == signal.SIGKILL else ""
    return f"killed by {signal.Signals(-code).name}{hint}"


def _first_line(complaints: bytes) -> str:
    lines = complaints.decode(errors="replace").splitlines()
    telling = [line.strip() for line in lines if "error" in line.lower()] or [
        line.strip() for line in lines if line.strip()
    ]
    return telling[0] if telling else ""
