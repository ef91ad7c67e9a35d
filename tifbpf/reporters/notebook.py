"""What a notebook shows: recordings as a short table, and the report's charts one by one."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tifbpf.errors import TifbpfError
from tifbpf.reporters import charts, files, model, names, numbers, schema, sections, vega
from tifbpf.reporters.charts import Chart
from tifbpf.text import printable

if TYPE_CHECKING:
    from tifbpf.analysis import Recordings

_TOP = 10
_SCALE = 2.0


@dataclass(frozen=True)
class Drawing:
    """One chart. A notebook shows it as SVG, without scripts and without the network.

    Attributes:
        title: what it shows and what is most in it, in a sentence.
        spec: its Vega-Lite specification with data, e.g. for `altair.Chart.from_dict`.
    """

    title: str
    spec: vega.Spec

    def svg(self) -> str:
        """Return it as SVG.

        Raises:
            NoExtraError: vl-convert is not installed.
        """
        return vega.svg(self.spec)

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write it to a file whose name ends in .svg or .png.

        Raises:
            TifbpfError: it has another ending, is there already and not `force`, or cannot be written.
        """
        path = Path(path)
        if path.suffix not in (".svg", ".png"):
            raise TifbpfError(f"{path} must end in .svg or .png")
        content = self.svg() if path.suffix == ".svg" else vega.png(self.spec, _SCALE)
        files.write(path, content, force=force)

    def _repr_svg_(self) -> str:
        return self.svg()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.title}>"


class Plots:
    """The charts of recordings: those of `tifbpf report --html`, and the words.

    Every method takes the width in pixels and returns a `Drawing`. What is not known has no mark.

    Raises:
        NoExtraError: vl-convert is not installed (when it is drawn).
        TifbpfError: there is nothing to show.
    """

    def __init__(self, recordings: Recordings) -> None:
        self._recordings = recordings

    @cached_property
    def _report(self) -> schema.Report:
        return model.build(self._recordings, _TOP)

    def bits(self, width: int = 720) -> Drawing:
        """Draw exits by bit of the work masks: present, trigger and sole."""
        return self._draw(charts.bits, "nothing was covered", width)

    def words(self, width: int = 720) -> Drawing:
        """Draw slow exits by the bits of both words, the commonest ten."""
        return self._draw(_words, "no exit was slow", width)

    def timeline(self, width: int = 720) -> Drawing:
        """Draw the slow share over time by bit, in per cent; else slow exits a second."""
        return self._draw(charts.timeline, "no exit was slow", width)

    def pairs(self, width: int = 720) -> Drawing:
        """Draw how often two bits triggered together, in per cent of slow exits."""
        return self._draw(charts.pairs, "fewer than two bits triggered", width)

    def times(self, width: int = 720) -> Drawing:
        """Draw the time in the slowpath by word, in ns on a logarithmic scale."""
        return self._draw(charts.times, "no time was recorded; record with --latency", width)

    def _draw(self, make: Callable[[schema.Report], Chart | None], missing: str, width: int) -> Drawing:
        chart = make(self._report)
        if chart is None:
            raise TifbpfError(f"there is nothing to draw: {missing}")
        colours = vega.colours("light")
        spec = vega.spec(chart.name, chart.rows, {**colours, **chart.values}, min(width, chart.widest))
        spec["description"] = chart.title
        spec["background"] = colours["page"]
        spec["padding"] = 12
        if chart.notes:
            spec["title"] = {"text": "", "subtitle": list(chart.notes)}
        return Drawing(title=chart.title, spec=spec)


def _words(report: schema.Report) -> Chart | None:
    rows: list[vega.Row] = [
        {
            "key": str(place),
            "word": f"{line.context}: {names.bits(line.tif, line.syscall_work)}",
            "slow": line.count,
            "label": f"{numbers.share(line.share_of_slow)} of slow exits",
        }
        for place, line in enumerate(report.slow_words)
    ]
    if not rows:
        return None
    told = "; ".join(f"{row['word']}: {row['label']}" for row in rows[:3])
    more = report.slow_words_total - len(rows)
    return Chart(
        name="words",
        title=f"Words of slow exits. {told}.",
        rows=tuple(rows),
        values={},
        notes=(f"The commonest {len(rows)} of {report.slow_words_total}.",) if more else (),
    )


def table(recordings: Recordings) -> str:
    """Return recordings as HTML: what they are, how often exits were slow, and the caveats."""
    report = model.build(recordings, _TOP)
    frame = recordings.frequency()[["exits", "slow", "share", "exits_per_second", "slow_per_second"]]
    shown = frame.astype(object).where(frame.notna(), "not known")
    notes = "".join(f"<li>{html.escape(printable(caveat.text))}</li>" for caveat in report.caveats)
    return (
        f"<p><b>{html.escape(printable(sections.subject(report)))}</b><br>"
        f"{html.escape(printable(sections.sentence(report)))}</p>"
        f"{shown.to_html()}<ul>{notes}</ul>"
    )
