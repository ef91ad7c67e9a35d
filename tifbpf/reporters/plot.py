"""One picture for a slide or a mail: which bits made exits slow, with the figures that it rests on."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from tifbpf.errors import TifbpfError
from tifbpf.reporters import charts, schema, sections, vega
from tifbpf.text import printable

SUFFIXES = (".svg", ".png")
_WIDTH = 960
_LINE = 86
"""Characters of the title in a line."""
_SCALE = 2.0


def render(report: schema.Report, path: Path) -> str | bytes:
    """Return the picture in the format that the suffix of `path` names.

    Raises:
        NoExtraError: vl-convert is not installed.
        TifbpfError: there is no bit to show.
    """
    chart = charts.bits(report)
    if chart is None:
        raise TifbpfError("nothing was covered, so there is nothing to plot; see the report without --plot")
    found = vega.spec(chart.name, chart.rows, {**vega.colours("light"), **chart.values}, _WIDTH)
    found["description"] = chart.title
    found["background"] = vega.colours("light")["page"]
    found["padding"] = 24
    found["title"] = _title(report)
    return vega.svg(found) if path.suffix == ".svg" else vega.png(found, _SCALE)


def _title(report: schema.Report) -> dict[str, Any]:
    missing = [line.context for line in report.contexts if not line.covered]
    below = [printable(sections.subject(report))]
    if missing:
        below.append(f"Not covered: {' and '.join(missing)} exits.")
    if report.accounting.lost:
        below.append(f"{report.accounting.lost:,} of {report.accounting.seen:,} exits seen were lost.")
    return {
        "text": textwrap.wrap(sections.sentence(report), _LINE),
        "subtitle": [line for text in below for line in textwrap.wrap(text, 2 * _LINE)],
    }
