"""One screenful, as lines that are never wider than the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text
from rich.theme import Theme

from tifbpf import resources
from tifbpf.live.account import Account, View
from tifbpf.live.keys import HELP, State
from tifbpf.live.lines import BAR, Column, Record, columns, records, sort
from tifbpf.recording.metadata import Metadata
from tifbpf.reporters import numbers
from tifbpf.reporters.coverage import blind_cpus
from tifbpf.reporters.render import bar, shorten
from tifbpf.text import printable

_TITLES = {
    View.BITS: "Bits",
    View.WORDS: "Words",
    View.PROCESSES: "Processes",
    View.SYSCALLS: "System calls",
}
_LEAST_NAME = 8


def theme() -> Theme:
    """Return the styles of all our output."""
    return Theme.read(str(resources.directory("reports") / "terminal.theme"))


class Painter:
    """Puts the account of a session on a terminal, or on lines of plain text."""

    def __init__(self, console: Console) -> None:
        """Use the console's styles, and its idea of which characters there are."""
        self._console = console
        self._ascii_only = console.options.ascii_only

    def screen(self, account: Account, state: State, width: int, height: int) -> list[Text]:
        """Return at most `height` lines, none wider than `width`."""
        if state.help:
            lines = [*_help(width)]
        else:
            head = [*_head(account, state, width), _tabs(state, width)]
            room = max(height - len(head) - 1, 0)
            lines = [*head, *self.table(account, state, width, room)]
        for line in lines:
            line.truncate(width, overflow="crop")
        return lines[:height]

    def table(self, account: Account, state: State, width: int, room: int | None) -> Iterator[Text]:
        """Yield the view's header and its lines, `room` of them; None: all."""
        shown = columns(state.view, width)
        key = state.sort_key(width)
        span = account.total if state.since_start else account.last
        found = records(account, state.view, span, by_name=state.by_name)
        by = next(column for column in shown if column.key == key)
        found = sort(found, by, reverse=state.reverse)
        if room is not None:
            first = min(state.first, max(len(found) - room, 0))
            found = found[first : first + room]
        widths = _widths(shown, width)
        yield self._header(shown, widths, key)
        if not found and account.metadata is not None:
            yield Text("nothing was seen", style="tifbpf.note")
        for record in found:
            yield self._line(record, shown, widths)

    def _header(self, shown: list[Column], widths: list[int], key: str) -> Text:
        line = Text()
        for place, (column, width) in enumerate(zip(shown, widths, strict=True)):
            style = "bold reverse" if column.key == key else "bold"
            line.append(" " if place else "").append(_fit(column.header, width, column.number), style=style)
        return line

    def _line(self, record: Record, shown: list[Column], widths: list[int]) -> Text:
        line = Text()
        for place, (column, width) in enumerate(zip(shown, widths, strict=True)):
            value = record.get(column.key)
            if column.key == BAR:
                share = value if isinstance(value, float) else 0
                text = bar(share, max(width, 1), ascii_only=self._ascii_only)
            elif column.number:
                # A process that has no pid of its own is no unknown one.
                text = "" if column.key == "pid" and value is None else column.show(value)
            else:
                text = shorten(str(value or ""), max(width, _LEAST_NAME))
            line.append(" " if place else "")
            line.append(_fit(text, width, column.number), style=f"tifbpf.{column.style}")
        return line

    def text(self, lines: list[Text]) -> list[str]:
        """Return the lines as a terminal is sent them."""
        found = []
        for line in lines:
            line.rstrip()
            with self._console.capture() as capture:
                self._console.print(line, end="", no_wrap=True, overflow="ignore", crop=False)
            found.append(capture.get())
        return found

    def report(self, account: Account, state: State, width: int) -> str:
        """Return one interval for `--batch`."""
        lines = [*_head(account, state, width), *self.table(account, state, width, None)]
        for line in lines:
            line.truncate(width, overflow="crop")
        return "".join(f"{line}\n" for line in (*self.text(lines), ""))


def _widths(shown: list[Column], width: int) -> list[int]:
    rigid = sum(column.width for column in shown) + len(shown) - 1
    return [column.width or max(width - rigid, 0) for column in shown]


def _fit(text: str, width: int, right: bool) -> str:
    missing = width - cell_len(text)
    if missing < 0:
        return set_cell_size(text, width)
    return " " * missing + text if right else text + " " * missing


def _head(account: Account, state: State, width: int) -> Iterator[Text]:
    metadata = account.metadata
    if metadata is None:
        yield Text("tifbpf top: attached, counting", style="tifbpf.title")
        return
    every = "since start" if state.since_start else f"every {state.delay_s:g} s"
    what = [
        "tifbpf top",
        printable(metadata.host.name),
        f"Linux {metadata.kernel.release}",
        numbers.duration(metadata.duration_ns / 1e9),
        f"PAUSED, {every}" if state.paused else every,
    ]
    yield from _paragraph(", ".join(what), width, "tifbpf.title")
    span = account.total if state.since_start else account.last
    counted = any(coverage.denominator is not None for coverage in metadata.contexts)
    exits = span.all.exits / span.seconds if counted and span.seconds else None
    slow = span.all.slow / span.seconds if span.seconds else None
    figures = (
        f"{numbers.rate(exits)} exits/s, {numbers.rate(slow)} slow/s, {numbers.share(span.all.share)} slow"
    )
    yield from _paragraph(figures, width, "tifbpf.lead")
    yield from _paragraph(_coverage(metadata), width, "tifbpf.note")
    lost = metadata.totals.losses.total + metadata.totals.uncounted
    yield from _paragraph(_losses(metadata), width, "tifbpf.warning" if lost else "tifbpf.note")
    for coverage in metadata.contexts:
        for text in blind_cpus(coverage):
            yield from _paragraph(f"{coverage.context}: does not see {text}", width, "tifbpf.warning")
    for effect in metadata.observer_effects:
        told = "set by our own hook, taken out" if effect.ours else "set by another tracer, counts"
        yield from _paragraph(f"{effect.bit} {told}", width, "tifbpf.warning")


def _paragraph(text: str, width: int, style: str) -> Iterator[Text]:
    for line in textwrap.wrap(text, max(width, 1)):
        yield Text(line, style=style)


def _coverage(metadata: Metadata) -> str:
    parts = []
    for coverage in metadata.contexts:
        if coverage.route is not None:
            unknown = "" if coverage.denominator is not None else ", slow exits only"
            parts.append(f"{coverage.context}: {coverage.route}, {coverage.exactness}{unknown}")
    missing = [str(coverage.context) for coverage in metadata.contexts if coverage.route is None]
    if missing:
        parts.append(f"not covered: {', '.join(missing)}")
    return "; ".join(parts)


def _losses(metadata: Metadata) -> str:
    totals = metadata.totals
    told = f"{numbers.count(totals.losses.total)} of {numbers.count(totals.seen)} lost"
    if totals.uncounted:
        told += f", {numbers.count(totals.uncounted)} not counted among all"
    return told


def _tabs(state: State, width: int) -> Text:
    if state.entered is not None:
        return Text(f"Interval in seconds (now {state.delay_s:g}): {state.entered}_", style="bold")
    line = Text()
    for number, view in enumerate(View, 1):
        title = _TITLES[view] if width >= 60 else _TITLES[view][:5]
        line.append(f"{number} {title}", style="bold reverse" if view is state.view else "").append("  ")
    return line.append("h help  q quit" if width >= 60 else "h q", style="tifbpf.note")


def _help(width: int) -> Iterator[Text]:
    yield Text("tifbpf top: keys", style="tifbpf.title")
    for keys, meaning in HELP:
        for number, part in enumerate(textwrap.wrap(meaning, max(width - 9, 1))):
            yield Text.assemble((f" {keys if number == 0 else '':<7} ", "bold"), part)
