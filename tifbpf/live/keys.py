"""From what a terminal sends to keys, and what each of them does."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum

from tifbpf.live.account import View
from tifbpf.live.lines import BAR, columns

LEAST_DELAY_S = 0.1

_SEQUENCES = {
    "[A": "up",
    "[B": "down",
    "[C": "right",
    "[D": "left",
    "[H": "home",
    "[F": "end",
    "[1~": "home",
    "[4~": "end",
    "[5~": "page up",
    "[6~": "page down",
    "OA": "up",
    "OB": "down",
    "OC": "right",
    "OD": "left",
    "OH": "home",
    "OF": "end",
}
_KEY = re.compile(r"\x1b(\[[0-9;]*[A-Za-z~]|O[A-Za-z])|(.)", re.DOTALL)
_NAMES = {"\x1b": "escape", "\r": "enter", "\n": "enter", "\x7f": "backspace", "\b": "backspace", "\t": "tab"}


def decode(data: bytes) -> list[str]:
    r"""Return the keys of what was read; a sequence that is none of them is left out.

    >>> decode(b"\x1b[Aq\x1b[5~\x1b")
    ['up', 'q', 'page up', 'escape']
    """
    found = []
    for sequence, character in _KEY.findall(data.decode("latin-1")):
        key = _SEQUENCES.get(sequence) if sequence else _NAMES.get(character, character)
        if key:
            found.append(key)
    return found


HELP = (
    ("1 b", "bits that made exits slow"),
    ("2 w", "words of slow exits"),
    ("3 p", "processes"),
    ("4 y", "system calls"),
    ("Tab", "the next of these"),
    ("g", "processes: one line for each name"),
    ("P", "sort by slow exits a second"),
    ("E", "sort by all exits a second"),
    ("S", "sort by the share that is slow"),
    ("T", "sort by slow exits since the start"),
    ("N", "sort by pid or name"),
    ("< >", "sort by the column to the left, to the right"),
    ("r R", "reverse the order"),
    ("t", "rates of the last interval, or since the start"),
    ("d s", "change the interval"),
    ("Space", "read the counters now"),
    ("z Z", "pause the screen; counting goes on"),
    ("arrows", "scroll, as do PgUp, PgDn, Home and End"),
    ("h ?", "this help; any key leaves it"),
    ("q", "quit, as does Ctrl-C"),
)

_VIEWS = {
    "1": View.BITS,
    "b": View.BITS,
    "2": View.WORDS,
    "w": View.WORDS,
    "3": View.PROCESSES,
    "p": View.PROCESSES,
    "4": View.SYSCALLS,
    "y": View.SYSCALLS,
}
_SORTS = {"P": ("slow",), "E": ("exits",), "S": ("share",), "T": ("total",), "N": ("pid", "name")}
_SCROLL = {"up": -1, "down": 1, "page up": -10, "page down": 10}


class Act(StrEnum):
    """What a key asks for that is not just another look at the same figures."""

    QUIT = "quit"
    READ = "read"


@dataclass(frozen=True, slots=True)
class State:
    """What is shown, and how."""

    view: View = View.BITS
    sort: str = "slow"
    """Key of a column; where the view has none such, `slow`."""
    reverse: bool = False
    since_start: bool = False
    by_name: bool = False
    paused: bool = False
    help: bool = False
    delay_s: float = 2.0
    entered: str | None = None
    """Of a new interval, while it is being typed."""
    first: int = 0
    """The first line that is shown."""

    def press(self, key: str, width: int) -> tuple[State, Act | None]:
        """Return what follows from a key on a terminal that is `width` columns wide."""
        if self.help:
            return replace(self, help=False), Act.QUIT if key == "q" else None
        if self.entered is not None:
            return self._enter(key, self.entered), None
        if key in _VIEWS:
            return replace(self, view=_VIEWS[key], first=0), None
        if key in _SCROLL:
            return replace(self, first=max(self.first + _SCROLL[key], 0)), None
        match key:
            case "q":
                return self, Act.QUIT
            case " ":
                return self, Act.READ
            case "tab":
                views = list(View)
                return replace(self, view=views[(views.index(self.view) + 1) % len(views)], first=0), None
            case "h" | "?":
                return replace(self, help=True), None
            case "d" | "s":
                return replace(self, entered=""), None
            case "r" | "R":
                return replace(self, reverse=not self.reverse), None
            case "t":
                return replace(self, since_start=not self.since_start), None
            case "g":
                return replace(self, by_name=not self.by_name), None
            case "z" | "Z":
                return replace(self, paused=not self.paused), None
            case "home":
                return replace(self, first=0), None
            case "end":
                return replace(self, first=10**9), None
            case _:
                return self._sort(key, width), None

    def _sort(self, key: str, width: int) -> State:
        shown = [column.key for column in columns(self.view, width) if column.key != BAR]
        if key in ("<", "left", ">", "right"):
            place = shown.index(self.sort_key(width)) + (1 if key in (">", "right") else -1)
            return replace(self, sort=shown[min(max(place, 0), len(shown) - 1)], reverse=False)
        for wanted in _SORTS.get(key, ()):
            if wanted in shown:
                return replace(self, sort=wanted, reverse=False)
        return self

    def sort_key(self, width: int) -> str:
        """Return the key of the column that this view is sorted by."""
        shown = [column.key for column in columns(self.view, width)]
        return self.sort if self.sort in shown else "slow"

    def _enter(self, key: str, entered: str) -> State:
        if key == "escape":
            return replace(self, entered=None)
        if key == "backspace":
            return replace(self, entered=entered[:-1])
        if key != "enter":
            return replace(self, entered=entered + key) if key in "0123456789." and len(entered) < 8 else self
        try:
            seconds = float(entered)
        except ValueError:
            return replace(self, entered=None)
        return replace(self, entered=None, delay_s=max(seconds, LEAST_DELAY_S))
