"""The job: attach, give up what is not needed any more, and hand every interval on."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import msgspec

from tifbpf.errors import TifbpfError
from tifbpf.host import bcc, privileges, unprivileged
from tifbpf.host.unprivileged import Account
from tifbpf.layouts import syscalls
from tifbpf.layouts.syscalls import Abi
from tifbpf.metrics.counts import Counts
from tifbpf.metrics.pipe import Sender
from tifbpf.metrics.snapshot import Snapshot
from tifbpf.metrics.textfile import Textfile
from tifbpf.recorder.drop import drop
from tifbpf.recorder.options import Options
from tifbpf.recorder.run import run, signals_kept
from tifbpf.recorder.session import Flush, Session

_ASKED_TO_END = {"SIGINT", "SIGTERM"}
"""How an exporter is ended by hand, and by systemd."""


class Sink(Protocol):
    """Where snapshots go."""

    def send(self, snapshot: Snapshot) -> None:
        """Pass it on."""

    def close(self) -> None:
        """There will be no more."""


def serve(options: Options, *, host: str, port: int, max_series: int, say: Callable[[str], None]) -> int:
    """Answer Prometheus until a signal comes; return the exit code.

    What answers is a process of its own, which has no privileges before anything is attached; this one
    becomes the same user when everything is, and keeps what reading the maps takes.

    Args:
        options: what to count.
        host: the address to listen on.
        port: the port; 0: any that is free.
        max_series: label sets for each metric whose labels others choose.
        say: gets what the user has to know.

    Raises:
        TifbpfError: whatever a user or a host can cause.
    """
    privileges.require()
    bcc.find()
    account = unprivileged.whom(os.environ)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(listen(host, port))
        where = listener.getsockname()
        sender, child = stack.enter_context(_answering(listener, account))
        listener.close()
        # The other process makes exits as well, which are no more the host's own than ours are.
        filters = msgspec.structs.replace(options.filters, helper=child)
        options = msgspec.structs.replace(options, filters=filters)
        place = f"[{where[0]}]" if ":" in where[0] else where[0]
        return _export(
            options, sender, account, max_series, lambda: say(f"serving http://{place}:{where[1]}/metrics")
        )


def write(options: Options, *, path: Path, max_series: int, say: Callable[[str], None]) -> int:
    """Write a textfile until a signal comes; return the exit code.

    Args:
        options: what to count.
        path: the file.
        max_series: label sets for each metric whose labels others choose.
        say: gets what the user has to know.

    Raises:
        TifbpfError: whatever a user or a host can cause.
    """
    privileges.require()
    bcc.find()
    try:
        account = unprivileged.owner(path.parent)
    except OSError as error:
        raise TifbpfError(
            f"{path.parent}: {error.strerror}; give a file in a directory that exists"
        ) from error
    with contextlib.closing(Textfile(path)) as textfile:
        return _export(options, textfile, account, max_series, lambda: say(f"writing {path}"))


def _export(
    options: Options, sink: Sink, account: Account, max_series: int, on_begin: Callable[[], None]
) -> int:
    counts = Counts(options.dimensions, max_series)

    def pass_on(flush: Flush) -> None:
        counts.add(flush)
        sink.send(counts.snapshot(flush.metadata))

    def begin() -> None:
        # An interval of no time: the counters are there, at 0, before anything can make them grow.
        flush = session.flush()
        counts.add(flush)
        drop(session, account)
        sink.send(counts.snapshot(flush.metadata))
        on_begin()

    for abi in Abi:
        # Its table is loaded by the first name: as root, who can read it wherever it is.
        syscalls.name(0, abi)
    with Session(options) as session, signals_kept():
        ending = run(session, interval_ns=options.interval_ns, on_begin=begin, on_flush=pass_on)
    return 0 if ending.reason in _ASKED_TO_END else ending.exit_code


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        TifbpfError: the address is none of ours, or in use.
    """
    try:
        ((family, kind, protocol, _, address), *_) = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen()
            stack.pop_all()
    except OSError as error:
        raise TifbpfError(
            f"cannot listen on {host}, port {port}: {error.strerror}; give another --listen"
        ) from error
    return listener


@contextlib.contextmanager
def _answering(listener: socket.socket, account: Account) -> Iterator[tuple[Sender, int]]:
    """Fork the process that answers; yield the way to it, and its pid."""
    # What it needs is imported by now: the checkout may be where only root can read.
    from tifbpf.metrics import server

    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        try:
            server.answer(listener, reading, account)
        except TifbpfError as error:
            os.write(2, f"tifbpf: {error}\n".encode())
        finally:
            os._exit(1)
    os.close(reading)
    sender = Sender(writing)
    try:
        yield sender, child
    finally:
        sender.close()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
