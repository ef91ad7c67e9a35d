"""CMD of `record -- CMD`: started when the programs are attached, and not before."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from typing import NoReturn

from tifbpf.errors import CommandNotExecutableError, CommandNotFoundError


def find(command: Sequence[str]) -> None:
    """Make sure, before anything is attached, that CMD can be started.

    Raises:
        CommandNotFoundError: there is no such command.
        CommandNotExecutableError: there is, and it cannot be executed.
    """
    name = command[0]
    if shutil.which(name) is not None:
        return
    if shutil.which(name, mode=os.F_OK) is not None:
        raise _refused(name, errno.EACCES)
    raise _refused(name, errno.ENOENT)


def _refused(name: str, code: int) -> CommandNotFoundError | CommandNotExecutableError:
    if code in (errno.ENOENT, errno.ENOTDIR):
        return CommandNotFoundError(f"{name}: no such command; check the words after --")
    return CommandNotExecutableError(f"{name}: cannot be executed: {os.strerror(code)}; check its mode")


class Workload:
    """One child. It exists from the beginning, so that its pid is known, and waits to execute CMD."""

    def __init__(self, command: Sequence[str]) -> None:
        """Fork the child."""
        self._command = list(command)
        gate, self._gate = os.pipe()
        self._failure, failure = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._gate)
            os.close(self._failure)
            self._execute(gate, failure)
        os.close(gate)
        os.close(failure)
        self._status: int | None = None
        self.terminate: Callable[[], None] = lambda: os.kill(self.pid, signal.SIGTERM)
        """Asks it to end; somebody else's to do where this process may not."""

    def _execute(self, gate: int, failure: int) -> NoReturn:
        try:
            if os.read(gate, 1):
                signal.pthread_sigmask(signal.SIG_SETMASK, ())
                # Python ignores SIGPIPE and SIGXFSZ; CMD should meet them as it would without us.
                for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
                    signal.signal(ignored, signal.SIG_DFL)
                os.execvp(self._command[0], self._command)  # noqa: S606 (no shell is the point)
        except OSError as error:
            os.write(failure, (error.errno or errno.EIO).to_bytes(4, "little"))
        finally:
            os._exit(127)

    def start(self) -> None:
        """Let the child execute CMD.

        Raises:
            CommandNotFoundError: there is no such command.
            CommandNotExecutableError: the kernel refused it.
        """
        os.write(self._gate, b"g")
        os.close(self._gate)
        self._gate = -1
        code = os.read(self._failure, 4)
        if code:
            self._reap(0)
            raise _refused(self._command[0], int.from_bytes(code, "little"))

    def exit_code(self) -> int | None:
        """Return CMD's exit code as a shell would, 128 + n after signal n; None while it runs."""
        if self._status is None:
            self._reap(os.WNOHANG)
        if self._status is None:
            return None
        code = os.waitstatus_to_exitcode(self._status)
        return code if code >= 0 else 128 - code

    def _reap(self, flags: int) -> None:
        pid, status = os.waitpid(self.pid, flags)
        if pid:
            self._status = status

    def stop(self) -> None:
        """End the child if it still runs, and wait for it; one that nobody may end any more goes on."""
        os.close(self._failure)
        if self._gate >= 0:
            os.close(self._gate)
            self._gate = -1
        elif self.exit_code() is None:
            try:
                self.terminate()
            except OSError:
                return
        if self._status is None:
            self._reap(0)
