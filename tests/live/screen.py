"""A command on a terminal of its own, and what stands on its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Sequence

import pyte


class Screen:
    """Runs `command` as the only foreground job of a pseudo-terminal."""

    def __init__(self, command: Sequence[str], width: int = 80, height: int = 24, **environment: str) -> None:
        self.master, slave = pty.openpty()
        self._emulator = pyte.Screen(width, height)
        self._stream = pyte.ByteStream(self._emulator)
        self.raw = b""
        self._slave = slave
        self._set_size(width, height)
        self.before = termios.tcgetattr(slave)
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**os.environ, "TERM": "xterm", "LANG": "C.UTF-8", **environment},
        )

    def _set_size(self, width: int, height: int) -> None:
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("<4H", height, width, 0, 0))

    def resize(self, width: int, height: int) -> None:
        self._emulator.resize(height, width)
        self._set_size(width, height)

    def read(self, seconds: float) -> None:
        """Show what comes within that time."""
        end = time.monotonic() + seconds
        while select.select([self.master], [], [], max(end - time.monotonic(), 0))[0]:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return
            self.raw += data
            self._stream.feed(data)

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self._emulator.display)

    @property
    def alternate(self) -> bool:
        """Whether the last that was said of it is that the other screen is shown."""
        return self.raw.rfind(b"\x1b[?1049h") > self.raw.rfind(b"\x1b[?1049l")

    @property
    def cursor(self) -> bool:
        """Whether the cursor is shown."""
        return self.raw.rfind(b"\x1b[?25h") >= self.raw.rfind(b"\x1b[?25l")

    @property
    def settings(self) -> list[object]:
        """The terminal's settings now."""
        return termios.tcgetattr(self._slave)

    def wait_for(self, text: str) -> str:
        """Return the screen when `text` is on it; fail after half a minute."""
        for _ in range(300):
            self.read(0.1)
            if text in self.text:
                return self.text
            if self.process.poll() is not None:
                break
        raise AssertionError(f"no {text!r} on the screen:\n{self.text}")

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def end(self) -> int:
        """Return the exit code; the process ends by itself, or is killed after half a minute."""
        for _ in range(300):
            self.read(0.1)
            if self.process.poll() is not None:
                self.read(0.1)
                return self.process.returncode
        self.process.send_signal(signal.SIGKILL)
        raise AssertionError(f"did not end:\n{self.text}")

    def restored(self) -> bool:
        """Whether the terminal is as it was."""
        return not self.alternate and self.cursor and self.settings == self.before

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self._slave)
