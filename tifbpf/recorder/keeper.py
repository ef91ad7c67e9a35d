"""The process that stays root when the recorder does not: it does what only root may, when told, and no more.

The recording may have been asked for in a directory where only root writes, and CMD is root's, as we were.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import NoReturn, Self

from tifbpf.errors import PrivilegesKeptError, TifbpfError
from tifbpf.host import unprivileged
from tifbpf.host.privileges import Capability
from tifbpf.recorder.bpf import Descriptor, enable_run_times
from tifbpf.recording.place import Place

_READY, _PUBLISH, _REMOVE, _TERMINATE, _RUN_TIMES = b"y", b"p", b"r", b"t", b"s"
_KEPT = frozenset({Capability.CAP_DAC_OVERRIDE, Capability.CAP_FOWNER, Capability.CAP_KILL})
_STANDARD_ERROR = 2
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Keeper:
    """The recorder's end of it; a context manager. The process ends with whoever holds this."""

    def __init__(self) -> None:
        """Have no process yet."""
        self._channel: socket.socket | None = None
        self.process: int | None = None
        """Its pid; None while there is none."""
        self.takes_run_times = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def begin(self, place: Place | None, *, command: int | None, run_times: bool) -> None:
        """Fork the process; before anything is attached, so that it holds nothing of that.

        Args:
            place: where the recording goes, if it goes anywhere.
            command: the process to end when told, a child of ours that nobody has waited for yet.
            run_times: whether to let the kernel take the run times of programs, when told.

        Raises:
            PrivilegesKeptError: it could not give up what it does not need.
        """
        self._channel, theirs = socket.socketpair()
        self.takes_run_times = run_times
        self.process = os.fork()
        if not self.process:
            _keep(theirs, place, command, run_times=run_times)
        theirs.close()
        if self._channel.recv(1) != _READY:
            raise PrivilegesKeptError(
                "the process that finishes the recording could not drop its privileges; see above"
            )

    def publish(self) -> None:
        """Make what was put together the recording."""
        self._tell(_PUBLISH)

    def remove_directory(self) -> None:
        """Remove the directory of segments."""
        self._tell(_REMOVE)

    def terminate(self) -> None:
        """Send SIGTERM to the command."""
        self._tell(_TERMINATE)

    def enable_run_times(self) -> Descriptor:
        """As `bpf.enable_run_times`, which takes CAP_SYS_ADMIN."""
        (held,) = self._tell(_RUN_TIMES)
        return Descriptor(held)

    def _tell(self, step: bytes) -> list[int]:
        """Return the descriptors that it answers with.

        Raises:
            OSError: it could not, or has ended.
        """
        answer, held = b"", list[int]()
        if self._channel is not None:
            with contextlib.suppress(ConnectionError):
                self._channel.sendall(step)
                answer, held, _, _ = socket.recv_fds(self._channel, 1, 1)
        code = answer[0] if answer else errno.EPIPE
        if code:
            raise OSError(code, os.strerror(code))
        return held

    def close(self) -> None:
        """End the process, if there is one."""
        if self._channel is not None and self.process is not None:
            self._channel.close()
            os.waitpid(self.process, 0)
            self._channel = self.process = None


def _keep(channel: socket.socket, place: Place | None, command: int | None, *, run_times: bool) -> NoReturn:
    """Do what comes through `channel` until it is closed."""
    try:
        for number in _ENDING:
            signal.signal(number, signal.SIG_IGN)
        terminate, held = _terminator(command)
        steps: dict[bytes, Callable[[], Descriptor | None]] = {_TERMINATE: terminate}
        kept = _KEPT
        if run_times:
            steps[_RUN_TIMES] = enable_run_times
            kept |= {Capability.CAP_SYS_ADMIN}
        if place is not None:
            place.leave_locking()
            steps |= {_PUBLISH: place.publish, _REMOVE: place.remove_directory}
            held += place.descriptors()
        _close_all_but({_STANDARD_ERROR, channel.fileno(), *held})
        unprivileged.become(unprivileged.ourselves(), keep=kept & unprivileged.permitted())
        channel.sendall(_READY)
        while step := channel.recv(1):
            try:
                done = steps[step]()
            except OSError as error:
                channel.sendall(bytes([error.errno or errno.EIO]))
                continue
            with done or contextlib.nullcontext():
                socket.send_fds(channel, [bytes(1)], [done.fd] if done else [])
    except TifbpfError as error:
        os.write(_STANDARD_ERROR, f"tifbpf: {error}\n".encode())
    finally:
        os._exit(0)


def _terminator(command: int | None) -> tuple[Callable[[], None], list[int]]:
    """Return what ends that process, and no other that has got its number, and the descriptors for that."""
    if command is None:
        return (lambda: None), []
    try:
        descriptor = os.pidfd_open(command)
    except OSError:
        # Before Linux 5.3.
        return (lambda: os.kill(command, signal.SIGTERM)), []
    return (lambda: signal.pidfd_send_signal(descriptor, signal.SIGTERM)), [descriptor]


def _close_all_but(kept: Iterable[int]) -> None:
    last = -1
    for descriptor in sorted(kept):
        os.closerange(last + 1, descriptor)
        last = descriptor
    os.closerange(last + 1, os.sysconf("SC_OPEN_MAX"))
