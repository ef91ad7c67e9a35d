"""Forked processes that run one function and end without running anything else of Python's."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

from tifbpf.errors import ExerciseUnavailableError, TifbpfError
from tifbpf.exercises import kernel

_UNAVAILABLE = b"u"
_FAILED = b"f"


class Child:
    """One forked process; it dies with the thread that forked it."""

    def __init__(self, work: Callable[[], object]) -> None:
        """Fork, and call `work` in the child."""
        # Else both processes would write what is still in the buffers.
        sys.stdout.flush()
        sys.stderr.flush()
        report, report_end = os.pipe()
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            _work_and_leave(work, report_end, parent)
        os.close(report_end)
        self._report = os.fdopen(report, "rb")
        self._reaped = False

    def running(self) -> bool:
        """Whether it has not ended; never waits."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def wait(self) -> None:
        """Wait for its end.

        Raises:
            ExerciseUnavailableError: it raised one.
            TifbpfError: it ended in any other way than by returning.
        """
        report = self._report.read()
        self._report.close()
        _, status = os.waitpid(self.pid, 0)
        self._reaped = True
        text = report[1:].decode(errors="replace")
        if report[:1] == _UNAVAILABLE:
            raise ExerciseUnavailableError(text)
        if os.WIFSIGNALED(status):
            text = f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
        if status:
            raise TifbpfError(f"process {self.pid} of the exercise failed: {text}")

    def kill(self) -> None:
        """End it and reap it, if `wait` has not."""
        if not self._reaped:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self._report.close()
            self._reaped = True


@contextlib.contextmanager
def helper(work: Callable[[Callable[[], object]], object]) -> Iterator[Child]:
    """Fork a child for the length of the block, which begins when it is ready; kill it if it still runs.

    Args:
        work: What the child does; it is given a function to call once it is ready.

    Raises:
        TifbpfError: the child ended before it was ready; its own error, if it had one.
    """
    ready, ready_end = os.pipe()

    def prepare_and_work() -> None:
        os.close(ready)
        work(lambda: os.write(ready_end, b"!"))

    try:
        child = Child(prepare_and_work)
    finally:
        os.close(ready_end)
    try:
        if not os.read(ready, 1):
            child.wait()
            raise TifbpfError("a helper process of the exercise ended before it was ready")
        yield child
    finally:
        child.kill()
        os.close(ready)


def _work_and_leave(work: Callable[[], object], report: int, parent: int) -> NoReturn:
    status = 1
    try:
        kernel.die_with_parent(parent)
        work()
        status = 0
    except ExerciseUnavailableError as error:
        os.write(report, _UNAVAILABLE + _line(str(error)))
    except BaseException as error:  # the parent is told; a traceback is for nobody
        os.write(report, _FAILED + _line(f"{type(error).__name__}: {error}"))
    finally:
        os._exit(status)


def _line(text: str) -> bytes:
    return " ".join(text.split()).encode()
