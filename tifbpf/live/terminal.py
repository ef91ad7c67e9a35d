"""The terminal while it is ours, and as it was before, however we end."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Self

from tifbpf.errors import TifbpfError

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[2J"
"""xterm's alternate screen, which every terminal emulator has since; the cursor hidden; nothing on it."""
_LEAVE = "\x1b[0m\x1b[?25h\x1b[?1049l"
_USUAL = (80, 24)
"""Columns and lines where the terminal does not say, as over a serial line."""

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_OTHERS = (signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT)


class Terminal:
    """Standard input and output as a screen and its keys; a context manager that puts all of it back."""

    def __init__(self) -> None:
        """Look for a terminal; nothing changes before the `with`.

        Raises:
            TifbpfError: there is none, or it cannot move its cursor.
        """
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise TifbpfError("top needs a terminal; for a file or a pipe there is --batch")
        if os.environ.get("TERM", "dumb") in ("dumb", "unknown"):
            raise TifbpfError("this terminal (TERM) cannot move its cursor; use --batch")
        self._input = sys.stdin.fileno()
        self._before = termios.tcgetattr(self._input)

    def __enter__(self) -> Self:
        self.take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Of a terminal that has gone, nothing is to be restored.
        with contextlib.suppress(OSError, termios.error):
            self.give_back()

    def take(self) -> None:
        """Make it ours: keys one by one and not shown, a screen of our own."""
        _persist(lambda: tty.setcbreak(self._input, termios.TCSADRAIN))
        self.write(_ENTER)

    def give_back(self) -> None:
        """Make it what it was."""
        self.write(_LEAVE)
        _persist(lambda: termios.tcsetattr(self._input, termios.TCSADRAIN, self._before))

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        width, height = os.get_terminal_size(sys.stdout.fileno())
        return width or _USUAL[0], height or _USUAL[1]

    def write(self, text: str) -> None:
        """Send `text`, all of it."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def paint(self, lines: list[str], height: int) -> None:
        """Show `lines`, of `height` at most, in place of what is there, without a flicker.

        Each is cleared before it is written: afterwards, the cursor may still stand in the last column.
        """
        missing = [""] * (height - len(lines))
        self.write("\x1b[H" + "\n".join(f"\x1b[2K{line}" for line in (*lines, *missing)))

    def read(self) -> bytes:
        """Return what was typed; b"" if the terminal has gone."""
        try:
            return os.read(self._input, 1024)
        except OSError:
            return b""


class Events:
    """Signals and keys, one after the other."""

    def __init__(self, terminal: Terminal) -> None:
        """Wait for that terminal's keys."""
        self._terminal = terminal

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Keep signals until `wait` returns them, so that none cuts a read of the maps in half."""
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)
        self._signals = reading
        wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        before = {number: signal.signal(number, _nothing) for number in (*ENDING, *_OTHERS)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakeup)
            os.close(reading)
            os.close(writing)

    def wait(self, seconds: float) -> signal.Signals | bytes | None:
        """Return an ending signal, SIGWINCH where all is to be painted, keys, or None after `seconds`."""
        ready, _, _ = select.select((self._signals, sys.stdin), (), (), max(seconds, 0))
        if self._signals in ready:
            return self._signal(os.read(self._signals, 1024))
        return self._terminal.read() or signal.SIGHUP if ready else None

    def _signal(self, numbers: bytes) -> signal.Signals:
        for number in ENDING:
            if number in numbers:
                return number
        if signal.SIGTSTP in numbers:
            self._stop()
        elif signal.SIGCONT in numbers:
            # After a SIGSTOP, which nobody sees coming, the shell has made the terminal its own.
            self._terminal.take()
        return signal.SIGWINCH

    def _stop(self) -> None:
        """Stop as if we had not known better, the terminal being what it was."""
        self._terminal.give_back()
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, handler)
        self._terminal.take()


def _persist(change: Callable[[], object]) -> None:
    """Change the terminal, though a job in the background is stopped for it, and SIGCONT interrupts it."""
    while True:
        try:
            change()
        except termios.error as error:
            if error.args[0] != errno.EINTR:
                raise
        else:
            return


def _nothing(number: int, frame: FrameType | None) -> None:
    pass
