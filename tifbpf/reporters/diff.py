"""The `Diff` of a `Comparison`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from tifbpf import __version__
from tifbpf.analysis.comparison import CONFIDENCE, Comparison, Measure
from tifbpf.analysis.naming import split
from tifbpf.analysis.recordings import Recordings
from tifbpf.reporters import diff_schema as schema
from tifbpf.reporters.caveats import caveats
from tifbpf.reporters.model import recording


def build(comparison: Comparison, top: int = 10) -> schema.Diff:
    """Return the diff; lists that can grow long have their `top` first members."""
    before, after = comparison.intervals
    sizes = comparison.sizes()
    recorded = dict.fromkeys((*comparison.before.dimensions, *comparison.after.dimensions))
    return schema.Diff(
        tifbpf=__version__,
        confidence=CONFIDENCE,
        band=comparison.band,
        before=_side(comparison.before, before),
        after=_side(comparison.after, after),
        differences=tuple(
            schema.DifferenceLine(kind=found.kind, text=found.text, forbids=found.forbids)
            for found in comparison.differences
        ),
        contexts=tuple(map(str, comparison.contexts)),
        counted=tuple(map(str, comparison.counted)),
        total=schema.TotalLine(**next(_lines(comparison.total()))[1]),
        bits=tuple(
            schema.BitLine(word=key[0], bit=key[1], **found) for key, found in _lines(comparison.bits())
        ),
        idle_bits=tuple(schema.IdleBit(word=str(bit.word), bit=bit.bit) for bit in comparison.idle_bits()),
        words=tuple(
            schema.WordLine(context=key[0], tif=split(key[1]) or (), syscall_work=split(key[2]), **found)
            for key, found in _lines(comparison.words(top))
        ),
        words_total=sizes["words"],
        dimensions=tuple(
            schema.DimensionTable(
                dimension=name,
                values=sizes[name],
                lines=tuple(
                    schema.ValueLine(value=None if key[0] is None else str(key[0]), **found)
                    for key, found in _lines(comparison.by(name, top))
                ),
            )
            for name in comparison.dimensions
        ),
        left_out=tuple(name for name in recorded if name not in comparison.dimensions),
    )


def _side(recordings: Recordings, intervals: int) -> schema.SideLines:
    return schema.SideLines(
        recordings=tuple(recording(place, found) for place, found in enumerate(recordings.recordings)),
        intervals=intervals,
        caveats=caveats(recordings),
    )


def _lines(frame: pd.DataFrame) -> Iterator[tuple[tuple[Any, ...], dict[str, schema.Compared]]]:
    """Yield the key of each line, None for NA, and what it compares by measure."""
    flat = frame.reset_index().astype(object)
    names = [name for name in frame.index.names if name != "measure"]
    records = flat.where(flat.notna(), None).to_dict("records")
    measures = list(Measure)
    lines = len(records) // len(measures)
    for place in range(lines):
        found = {
            str(measure): _compared(records[number * lines + place])
            for number, measure in enumerate(measures)
        }
        yield tuple(records[place][name] for name in names), found


def _compared(line: dict[Any, Any]) -> schema.Compared:
    known = line["change_low"] is not None
    return schema.Compared(
        before=_figure(line, "before"),
        after=_figure(line, "after"),
        change=schema.Change(value=line["change"], low=line["change_low"], high=line["change_high"])
        if known
        else None,
        verdict=line["verdict"],
        why=line["why"],
    )


def _figure(line: dict[Any, Any], side: str) -> schema.Figure | None:
    if line[f"{side}_events"] is None:
        return None
    return schema.Figure(
        events=int(line[f"{side}_events"]),
        value=line[f"{side}_value"],
        low=line[f"{side}_low"],
        high=line[f"{side}_high"],
    )
