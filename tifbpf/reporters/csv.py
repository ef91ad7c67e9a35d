"""The report as CSV: one figure a line, so that a spreadsheet or a data frame can pivot it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from tifbpf.reporters import schema
from tifbpf.text import printable

COLUMNS = ("table", "row", "measure", "value")

Line = tuple[str, str, str, float | None]


def render(report: schema.Report) -> str:
    """Return a header and one line for each figure; an empty value is one that is not known.

    Spreadsheets run a cell that begins with = + - or @ as a formula; such a name has a ' before it. Control
    characters are written as escapes.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for table, row, measure, value in _lines(report):
        writer.writerow((table, _inert(row), measure, "" if value is None else value))
    return text.getvalue()


def _inert(name: str) -> str:
    plain = printable(name)
    return f"'{plain}" if plain.startswith(("=", "+", "-", "@")) else plain


def _lines(report: schema.Report) -> Iterator[Line]:
    yield from _figures("exits", "all", report.total)
    for context in report.contexts:
        yield from _figures("exits", context.context, context.frequency)
        yield "exits", context.context, "covered", int(context.covered)
        yield "exits", context.context, "seconds", context.seconds
    for bit in report.bits:
        yield from _figures("bits", f"{bit.word}:{bit.bit}", bit)
    for table, words in (("slow words", report.slow_words), ("fast words", report.fast_words)):
        for word in words:
            yield from _figures(table, _word(word), word)
    for pair in report.pairs:
        names = f"{pair.first_word}:{pair.first} & {pair.second_word}:{pair.second}"
        yield from _figures("pairs", names, pair)
    for dimension in report.dimensions:
        for line in dimension.lines:
            yield from _figures(dimension.dimension, line.value or "", line.frequency)
        if dimension.others is not None:
            yield from _figures(f"{dimension.dimension} (others)", "", dimension.others)
    yield from _timeline(report.timeline)
    yield from _times(report.latency)
    if report.setters is not None:
        for setter in report.setters.lines:
            yield from _figures("setters", _setter(setter), setter)
        yield from _figures("setters", "all", report.setters)
    if report.handlers is not None:
        for handler in report.handlers.lines:
            names = f"{handler.context} {handler.bit} {handler.handler}"
            yield from _figures("handlers", names, handler)
    for need in report.needs:
        yield from _figures("needs", need.need, need)
    for tier in report.tiers:
        yield from _figures("tiers", f"{tier.context} {tier.tier}", tier)
    yield from _figures("accounting", "all", report.accounting)
    for cause, lost in report.accounting.causes.items():
        yield "losses", cause, "exits", lost


def _timeline(timeline: schema.Timeline | None) -> Iterator[Line]:
    if timeline is None:
        return
    for place, step in enumerate(timeline.steps):
        yield "timeline", step.start, "length_seconds", step.length_seconds
        yield from _figures("timeline", step.start, step.frequency)
        for bit in timeline.bits:
            yield "timeline", f"{step.start} {bit.word}:{bit.bit}", "slow", bit.slow[place]


def _times(latency: schema.Latency | None) -> Iterator[Line]:
    if latency is None:
        return
    for context in latency.contexts:
        yield from _figures("times", context.context, context.times)
        for bucket in context.times.histogram:
            yield "times from ns", f"{context.context} {bucket.low}", "exits", bucket.exits
    for bit in latency.bits:
        yield from _figures("times by bit", f"{bit.word}:{bit.bit}", bit.times)
    for word in latency.words:
        yield from _figures("times by word", _word(word), word.times)


def _setter(line: schema.SetterLine) -> str:
    target = "" if line.target is None else f" -> {line.target}"
    return f"{line.word}:{line.bit} {line.by}: {line.comm}{target}"


def _word(word: schema.WordLine | schema.WordTimes) -> str:
    bits: Iterable[str] = (
        *(f"tif:{bit}" for bit in word.tif),
        *(f"syscall_work:{bit}" for bit in word.syscall_work or ()),
    )
    return f"{word.context} {'|'.join(bits) or '0'}"


def _figures(table: str, row: str, line: msgspec.Struct) -> Iterator[Line]:
    """Yield those members of `line` that are figures; the schema says which, as None may be one too."""
    values: dict[str, Any] = msgspec.structs.asdict(line)
    for field in msgspec.structs.fields(line):
        if field.type in (int, float, int | None, float | None):
            yield table, row, field.name, values[field.name]
