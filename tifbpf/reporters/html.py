"""The report as one HTML file that needs nothing else: no network, no server, and no scripts to be read.

The templates, styles and scripts are in reports/. Everything from outside is made printable here and escaped
there; a content security policy allows nothing but the styles and scripts that we put in.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tifbpf import __version__, resources
from tifbpf.analysis.figures import Figures
from tifbpf.errors import TifbpfError
from tifbpf.reporters import charts, estimates, explanation, model, numbers, schema, sections, timeline, vega
from tifbpf.reporters.charts import Chart
from tifbpf.reporters.tables import Cell, Column, Kind, Section, Table
from tifbpf.text import printable

MOST_BYTES = 5_000_000
"""The size of a file that every mail server takes."""
TOP = 1000
"""Lines of a table, where that fits."""
_FEWER = (300, 100, 30, 10)
_WIDE, _NARROW = 860, 350
_SEARCHED = 6
"""A table with fewer lines is read faster than searched."""
_FOLDED = 12
_LONG = 14
"""A table with more lines is scrolled in itself."""
_BARS = {"pairs", "slow-words", "setters"}
"""Sections whose counts have a bar, as those by dimension have."""


@dataclass(frozen=True, slots=True)
class _Chapter:
    id: str
    title: str
    keys: frozenset[str]


_FURTHER = "further"
_CHAPTERS = (
    _Chapter("why", "Why exits were slow", frozenset({"explanation"})),
    _Chapter("bits", "Bits", frozenset({"bits", "idle-bits", "setters", "handlers"})),
    _Chapter("words", "Words", frozenset({"slow-words", "fast-words"})),
    _Chapter("together", "Bits that triggered together", frozenset({"pairs"})),
    _Chapter("time", "Over time", frozenset({"timeline"})),
    _Chapter("where", "Where", frozenset({"by-syscall", "by-comm", "by-pid", "by-cgroup", "by-cpu"})),
    _Chapter(
        "latency",
        "Time in the slowpath",
        frozenset({"times", "times-histogram", "times-by-bit", "times-by-word"}),
    ),
    _Chapter("needs", "What the slowpath was needed for", frozenset({"needs", "tiers"})),
    _Chapter("masks", "The masks, and what was seen", frozenset({"masks"})),
    _Chapter(_FURTHER, "Further", frozenset()),
    _Chapter("coverage", "Coverage and provenance", frozenset({"coverage", "routes", "layout", "recording"})),
    _Chapter("losses", "Losses", frozenset({"losses"})),
)
_ABOVE = {"headline", "caveats"}


def within(
    recordings: Figures, top: int = TOP, most: int = MOST_BYTES, by: Sequence[str] | None = None
) -> str:
    """Return the report with tables as long as fit.

    Args:
        recordings: what it is of.
        top: lines of a table at most.
        most: bytes.
        by: the dimensions to show, as `model.build` takes them.

    Raises:
        NoExtraError: vl-convert is not installed.
        TifbpfError: even with short tables it is larger than that.
    """
    for lines in (top, *(fewer for fewer in _FEWER if fewer < top)):
        text = render(model.build(recordings, lines, by))
        if len(text.encode()) <= most:
            return text
    raise TifbpfError(
        f"the report of {len(recordings.recordings)} recordings would be larger than "
        f"{most / 1e6:.0f} MB; report fewer of them at once"
    )


def render(report: schema.Report) -> str:
    """Return the report as HTML.

    Raises:
        NoExtraError: vl-convert is not installed.
    """
    every = (*sections.sections(report), *filter(None, [timeline.section(report)]))
    (headline,) = (part for part in every if part.key == "headline")
    live = report.timeline is not None and len(report.timeline.steps) > 1
    return page(
        "report.html.j2",
        title=f"tifbpf: {_shown(sections.subject(report))}",
        scripts=[*([vega.javascript()] if live else []), _resource("report.js")],
        subject=_shown(sections.subject(report)),
        claim=_shown(sections.sentence(report)),
        tiles=_tiles(report),
        caveats_title="Before you quote these figures",
        caveats=[_shown(caveat.text) for caveat in report.caveats],
        headline=laid_out(headline),
        chapters=list(_chapters(report, every)),
        charts_by="The timeline is drawn by Vega and Vega-Lite (BSD licence)." if live else "",
    )


def page(template: str, *, title: str, scripts: Sequence[str], **context: Any) -> str:
    """Return a page made from `template`, which extends page.html.j2.

    Args:
        template: its name in reports/.
        title: of the document, printable.
        scripts: what it may run.
        context: what the template uses.
    """
    scripts = [_inline(script) for script in scripts]
    style = _style()
    return (
        _environment()
        .get_template(template)
        .render(
            title=title,
            version=__version__,
            style=style,
            scripts=scripts,
            policy=_policy(style, scripts),
            **context,
        )
    )


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(resources.directory("reports")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["code"] = _code
    return environment


def _code(text: str) -> Markup:
    """Return `text` with what stands between backticks as code."""
    parts = [
        Markup("<code>{}</code>" if place % 2 else "{}").format(part)  # noqa: S704 (format escapes the part)
        for place, part in enumerate(text.split("`"))
    ]
    return Markup("").join(parts)


def _shown(text: str) -> str:
    """Return `text` made printable; a number and its per cent stay on one line."""
    return printable(text).replace(" %", "\N{NO-BREAK SPACE}%")


def _resource(name: str) -> str:
    return (resources.directory("reports") / name).read_text()


def _inline(script: str) -> str:
    """Return a script whose strings cannot end the element that it stands in."""
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _style() -> str:
    """Return the styles with the colours of both schemes; paper is always light."""
    light, dark = (
        "".join(f"--{name}:{value};" for name, value in vega.colours(scheme).items())
        for scheme in ("light", "dark")
    )
    return (
        f":root{{{light}}}\n@media screen and (prefers-color-scheme: dark){{:root{{{dark}}}}}\n"
        f"{_resource('report.css')}"
    )


def _policy(style: str, scripts: Iterable[str]) -> str:
    allowed = " ".join(_hash(script) for script in scripts) or "'none'"
    return "; ".join(
        [
            "default-src 'none'",
            f"style-src {_hash(style)}",
            f"script-src {allowed}",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _tiles(report: schema.Report) -> list[dict[str, Any]]:
    total = report.total
    share = estimates.between(total.share_low, total.share_high)
    rate = estimates.between_rates(total.slow_per_second_low, total.slow_per_second_high)
    estimated = "estimated" if report.estimated else ""
    found = [
        _tile("slow exits", total.share, numbers.share, f"of all exits{share and f'; 95 %: {share}'}"),
        _tile("slow exits a second", total.slow_per_second, numbers.rate, rate and f"95 %: {rate}"),
        _tile("exits a second", total.exits_per_second, numbers.rate, estimated),
        _tile("exits lost", report.accounting.lost, numbers.count, f"of {report.accounting.seen:,} seen"),
    ]
    if report.latency is not None:
        timed = [line.times for line in report.latency.contexts]
        mean = sum(times.ns for times in timed) / sum(times.timed for times in timed)
        found.append(_tile("in the slowpath", mean, numbers.time, "each slow exit, on average"))
    return found


def _tile(name: str, value: Any, shown: Callable[[Any], str], note: str = "") -> dict[str, Any]:
    return {"name": name, "value": _shown(shown(value)), "note": note, "known": value is not None}


def _chapters(report: schema.Report, every: Sequence[Section]) -> Iterable[dict[str, Any]]:
    named = frozenset().union(*(chapter.keys for chapter in _CHAPTERS)) | _ABOVE
    for chapter in _CHAPTERS:
        parts = [
            part
            for part in every
            if part.key in chapter.keys or (chapter.id == _FURTHER and part.key not in named)
        ]
        if not parts:
            continue
        shown: dict[str, Any] = {"id": chapter.id, "title": chapter.title, "findings": [], "notes": []}
        if chapter.id == "why" and report.explanation.findings:
            shown |= {"findings": _findings(report), "notes": explanation.notes(report), "parts": []}
        else:
            shown["parts"] = [laid_out(part, _chart(part, report)) for part in parts]
            if len(parts) == 1:
                shown["title"] = shown["parts"][0]["title"]
                shown["parts"][0]["title"] = ""
        yield shown


def _findings(report: schema.Report) -> list[dict[str, Any]]:
    found = report.explanation
    return [
        {
            "share": _shown(numbers.share(finding.share_of_slow)),
            "sentence": _shown(finding.sentence),
            "reasons": list(explanation.reasons(found, place)),
            "sources": list(dict.fromkeys(cause.source for cause in finding.causes if cause.source)),
        }
        for place, finding in enumerate(found.findings)
    ]


def laid_out(part: Section, chart: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a section as the templates take it, everything in it printable."""
    return {
        "title": part.title,
        "subject": _shown(part.subject),
        "chart": chart,
        "lead": [_shown(text) for text in part.lead],
        "table": part.table and _table(part.table, part),
        # What a chart shows need not be read line by line.
        "folded": part.key == "timeline" and part.table is not None and len(part.table.rows) > _FOLDED,
        "notes": [_shown(text) for text in part.notes],
        "warnings": [_shown(text) for text in part.warnings],
    }


def _chart(part: Section, report: schema.Report) -> dict[str, Any] | None:
    drawn = charts.BESIDE[part.key](report) if part.key in charts.BESIDE else None
    if drawn is None:
        return None
    values = {**vega.variables(), **drawn.values}
    wide, narrow = (
        vega.spec(drawn.name, drawn.rows, values, min(width, drawn.widest)) for width in (_WIDE, _NARROW)
    )
    live = part.key == "timeline" and report.timeline is not None and len(report.timeline.steps) > 1
    return {
        "name": drawn.name,
        "title": drawn.title,
        "notes": drawn.notes,
        "wide": _drawing(drawn, vega.svg(wide)),
        "narrow": _drawing(drawn, vega.svg(narrow)),
        "spec": wide if live else None,
    }


def _drawing(drawn: Chart, svg: str) -> str:
    """Return the drawing with an accessible name; its marks have their own."""
    name = _environment().from_string('role="img" aria-label="{{ title }}"').render(title=drawn.title)
    return svg.replace('class="marks"', f'class="chart" {name}', 1)


def _table(content: Table, part: Section) -> dict[str, Any]:
    numeric = any(column.kind is Kind.NUMBER and column.header for column in content.columns)
    searched = part.key.startswith("by-") or part.key.endswith("-words") or part.key == "setters"
    barred = part.key in _BARS or part.key.startswith("by-")
    most = [
        _largest(row[place] for row in content.rows) if barred and column.style == "slow" else 0
        for place, column in enumerate(content.columns)
    ]
    lines, rest = (
        [
            [
                _cell(cell, column, largest)
                for cell, column, largest in zip(row, content.columns, most, strict=True)
            ]
            for row in rows
        ]
        for rows in (content.rows, content.rest)
    )
    return {
        "caption": f"{part.title}: {_shown(part.subject)}" if part.subject else part.title,
        "headers": [
            {"text": column.header, "classes": f"{column.kind.value} {column.style}"}
            for column in content.columns
        ]
        if any(column.header for column in content.columns)
        else [],
        "rows": lines,
        "rest": rest,
        "sortable": numeric and len(lines) > 1,
        "long": bool(content.columns[0].header) and len(lines) > _LONG,
        "searchable": searched and len(lines) >= _SEARCHED,
    }


def _largest(cells: Iterable[Cell]) -> int:
    return max((cell for cell in cells if isinstance(cell, int)), default=0)


def _cell(cell: Cell, column: Column, most: int) -> dict[str, Any]:
    """Return what a table's cell shows, and what it is sorted by.

    Args:
        cell: text, a count, a share for a bar, or None for what is not known.
        column: its column.
        most: the largest count of the column; 0 where none has a bar.
    """
    shown: dict[str, Any] = {"classes": f"{column.kind.value} {column.style}", "value": None, "bar": None}
    if column.kind is Kind.BAR and isinstance(cell, (int, float)):
        return shown | {"text": "", "bar": min(1.0, float(cell)), "value": cell}
    text = cell if isinstance(cell, str) else numbers.count(cell)  # type: ignore[arg-type]
    if isinstance(cell, numbers.Figure):
        shown["value"] = "" if cell.value is None else cell.value
    elif not isinstance(cell, str):
        shown["value"] = "" if cell is None else cell
    if text in (numbers.UNKNOWN, "not covered"):
        shown["classes"] += " unknown"
    if most and isinstance(cell, int) and cell <= most:
        shown["bar"] = cell / most
    return shown | {"text": _shown(text)}
