"""Whether the rows of a recording are what its footer says: its layout, its routes, its totals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tifbpf.recording.buckets import bounds
from tifbpf.recording.metadata import Coverage
from tifbpf.recording.paths import ExitPath, classify
from tifbpf.recording.reader import Recording, damaged
from tifbpf.text import printable

Line = Mapping[str, Any]


def check(recording: Recording, kinds: Sequence[Line], weights: Iterable[Line]) -> None:
    """Check one recording by sums over its rows.

    Args:
        recording: what they are from.
        kinds: by context, path, tier, word, syscall_work and latency_log2: count, looked_at, ns, ns_max,
            ns_max_least, rows, rows_with_ns, rows_with_ns_max.
        weights: one_in and every, of a recording that did not look at every exit.

    Raises:
        InputDamagedError: they contradict its footer.
    """
    for kind in kinds:
        _check_kind(recording, kind)
    if recording.metadata.schema >= 2:
        _check_times(recording, kinds)
    for weight in weights:
        _check_weight(recording, weight)
    _check_totals(recording, kinds)


def _check_kind(recording: Recording, kind: Line) -> None:
    path, metadata = recording.path, recording.metadata
    covered: dict[str, Coverage] = {
        coverage.context.value: coverage for coverage in metadata.contexts if coverage.route is not None
    }
    coverage = covered.get(kind["context"])
    if coverage is None:
        raise damaged(path, f"it has rows of a context that it did not cover: {printable(kind['context'])}")
    word, syscall_work = kind["word"], kind["syscall_work"]
    wanted, tier = classify(
        metadata.layout, coverage.context, word, syscall_work, slow_only=coverage.slow_only
    )
    if (kind["path"], kind["tier"]) != (wanted, tier):
        words = "without a word" if word is None else f"with word {word:#x}"
        raise damaged(
            path,
            f"by its own layout a {coverage.context} exit {words} is {tier or wanted}, and a row says "
            f"{printable(kind['tier'] or kind['path'])}",
        )
    if wanted is not ExitPath.ALL:
        return
    if syscall_work is not None:
        raise damaged(path, "a row that counts all exits has a syscall_work of its own")
    if not coverage.slow_only or coverage.denominator is None:
        raise damaged(
            path,
            f"it has rows that count all {coverage.context} exits, and by its footer nothing but the "
            "route counted them",
        )


def _check_times(recording: Recording, kinds: Iterable[Line]) -> None:
    """Check what schema 2 says of times: each exit's is in the row's bucket, and only slow exits have one."""
    path = recording.path
    for kind in kinds:
        bucket = kind["latency_log2"]
        timed = 0 if bucket is None else kind["rows"]
        if not kind["rows_with_ns"] == kind["rows_with_ns_max"] == timed:
            raise damaged(path, "of latency_log2, ns and ns_max a row has some and not all")
        if bucket is None:
            continue
        if kind["path"] != ExitPath.SLOW:
            raise damaged(path, f"it has times of exits that are {printable(kind['path'])}")
        if not 0 <= bucket < 64:
            raise damaged(path, f"it has times of a bucket {bucket}")
        least, most = bounds(bucket)
        exits = kind["count"]
        if not (
            least <= kind["ns_max_least"]
            and kind["ns_max"] <= most
            and exits * least <= kind["ns"] <= exits * most
        ):
            raise damaged(path, f"times of the bucket {bucket} are not between {least} and {most} ns")


def _check_weight(recording: Recording, weight: Line) -> None:
    """Check what an exit stands for: by --sample always the same, by --duty what was asked for or a step."""
    sampling = recording.metadata.sampling
    one_in, every = weight["one_in"], weight["every"]
    if (
        sampling is None
        or one_in != sampling.one_in
        or not one_in
        or not every
        or (every not in {sampling.every, *(step.every for step in sampling.steps)})
    ):
        raise damaged(
            recording.path,
            f"in a row each exit stands for {one_in} times {every}, and its footer says otherwise",
        )


def _check_totals(recording: Recording, kinds: Iterable[Line]) -> None:
    path, totals = recording.path, recording.metadata.totals
    if totals.seen != totals.recorded + totals.losses.total:
        raise damaged(
            path,
            f"{totals.seen} exits seen are not {totals.recorded} recorded and {totals.losses.total} lost",
        )
    recorded = counted = 0
    for kind in kinds:
        if kind["path"] == ExitPath.ALL:
            counted += kind["looked_at"]
        else:
            recorded += kind["looked_at"]
    for found, said, what in (
        (recorded, totals.recorded, "exits"),
        (counted, totals.counted, "exits of `all` rows"),
    ):
        if found > said or (found < said and not recording.gaps):
            raise damaged(path, f"its rows hold {found} {what}, and its footer says {said}")
