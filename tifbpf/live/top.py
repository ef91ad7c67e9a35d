"""`tifbpf top`: on a terminal until somebody has seen enough, or so many intervals as text."""

from __future__ import annotations

import io
import math
import os
import signal
import sys
import time

from rich.console import Console

from tifbpf.host import bcc, privileges, unprivileged
from tifbpf.live.account import Account
from tifbpf.live.keys import Act, State, decode
from tifbpf.live.screen import Painter, theme
from tifbpf.live.terminal import Events, Terminal
from tifbpf.recorder.drop import drop
from tifbpf.recorder.options import Options
from tifbpf.recorder.run import run, signals_kept
from tifbpf.recorder.session import Flush, Session

DIMENSIONS = ("syscall", "comm", "pid")
"""What the views need to be kept apart."""
_FIRST_S = 0.5
"""The first figures come after that, if the interval is longer: nobody wants to look at an empty screen."""
_READ_S = 0.25
"""The maps are read that often, if the interval is longer: where processes come and go, each with classes of
its own for every system call, they would be full long before its end."""


def batch(options: Options, state: State, *, count: int | None) -> int:
    """Print `count` intervals (None: until a signal comes) on stdout; return the exit code.

    Raises:
        TifbpfError: whatever a user or a host can cause.
    """
    privileges.require()
    bcc.find()
    console = _console()
    painter, account = Painter(console), Account()

    reads = math.ceil(state.delay_s / _READ_S)
    interval_ns = round(state.delay_s / reads * 1e9)

    def tell() -> None:
        account.turn()
        sys.stdout.write(painter.report(account, state, console.width))
        sys.stdout.flush()

    def add(flush: Flush) -> None:
        account.add(flush)
        if account.current.seconds > state.delay_s * (1 - 0.5 / reads):
            tell()

    with Session(options) as session, signals_kept():
        drop(session, unprivileged.whom(os.environ))
        try:
            ending = run(
                session,
                interval_ns=interval_ns,
                duration_ns=None if count is None else round(count * state.delay_s * 1e9),
                on_begin=lambda: None,
                on_flush=add,
            )
            if ending.reason == "duration":
                account.add(session.finish())
                tell()
        except BrokenPipeError:
            return 0  # whoever read has seen enough
    return ending.exit_code


def interactive(options: Options, state: State, *, count: int | None) -> int:
    """Show intervals on the terminal until `q` (or `count` of them); return the exit code.

    Raises:
        TifbpfError: whatever a user or a host can cause; the terminal is what it was before it is told.
    """
    privileges.require()
    bcc.find()
    terminal = Terminal()
    events = Events(terminal)
    with Session(options) as session, events.kept(), terminal:
        drop(session, unprivileged.whom(os.environ))
        return _Top(session, terminal, events, state, count).run()


def _console() -> Console:
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name with a character that the terminal does not have must not end us.
        sys.stdout.reconfigure(errors="backslashreplace")
    return Console(theme=theme(), highlight=False, emoji=False, markup=False)


class _Top:
    """The loop."""

    def __init__(
        self, session: Session, terminal: Terminal, events: Events, state: State, count: int | None
    ) -> None:
        self._session = session
        self._terminal = terminal
        self._events = events
        self._state = state
        self._left = count
        self._painter = Painter(_console())
        self._account = Account()
        self._frozen: Account | None = None

    def run(self) -> int:
        """Return the exit code: 0, or 128 + n after signal n, Ctrl-C excepted."""
        self._session.begin()
        self._paint()
        following = time.monotonic() + min(self._state.delay_s, _FIRST_S)
        while self._left is None or self._left > 0:
            got = self._events.wait(min(following - time.monotonic(), _READ_S))
            match got:
                case signal.SIGWINCH:
                    self._paint()
                case signal.SIGINT:
                    return 0
                case signal.Signals():
                    return 128 + got
                case bytes():
                    delay = self._state.delay_s
                    act = self._press(got)
                    if act is Act.QUIT:
                        return 0
                    if act is Act.READ or self._state.delay_s != delay:
                        following = time.monotonic()
                    self._paint()
            self._account.add(self._session.flush())
            if time.monotonic() >= following:
                self._turn()
                self._paint()
                following = time.monotonic() + self._state.delay_s
        return 0

    def _press(self, data: bytes) -> Act | None:
        """Return the gravest of what the keys ask for."""
        asked = None
        for key in decode(data):
            self._state, act = self._state.press(key, self._terminal.size[0])
            if act is Act.QUIT:
                return act
            asked = asked or act
        if not self._state.paused:
            self._frozen = None
        elif self._frozen is None:
            self._frozen = self._account.frozen()
        return asked

    def _turn(self) -> None:
        self._account.turn()
        if self._left is not None:
            self._left -= 1

    def _paint(self) -> None:
        width, height = self._terminal.size
        lines = self._painter.screen(self._frozen or self._account, self._state, width, height)
        self._terminal.paint(self._painter.text(lines), height)
