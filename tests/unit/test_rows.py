"""From what the programs' maps hold to the columns of a recording."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from tests.unit.recordings import SECOND_NS, START_NS, metadata
from tifbpf.layouts.model import Context
from tifbpf.recorder import classes
from tifbpf.recorder.abi import (
    CLASS_VALUE,
    TIMED_CLASS_VALUE,
    UNMEASURED,
    ClassKey,
    ContextNumber,
    KeyCodec,
)
from tifbpf.recorder.drain import Interval
from tifbpf.recorder.instrument import Words
from tifbpf.recorder.rows import RowMaker
from tifbpf.recording.exits import ExitClass, ExitClasses
from tifbpf.recording.tables import table

CPUS = 2
SIGPENDING, NOTIFY_RESUME = 0x2, 0x1
DIMENSIONS = ("comm", "pid", "syscall")
Value = tuple[int, ...]


def key(word: int, bucket: int = UNMEASURED, **given: object) -> ClassKey:
    common = {"comm": b"make".ljust(16, b"\0"), "pid": 100, "syscall": 39, "abi": 0}
    return ClassKey(word, 0, ContextNumber.SYSCALL, latency_log2=bucket, **{**common, **given})  # type: ignore[arg-type]


def rows(held: Sequence[tuple[ClassKey, tuple[Value, Value]]], *, by_cpu: bool = False) -> ExitClasses:
    """Rows of a map that held keys, with one value for each CPU."""
    codec = KeyCodec(DIMENSIONS)
    values = itertools.chain.from_iterable(each for _, each in held)
    packed = bytearray().join(
        (TIMED_CLASS_VALUE if len(value) == 3 else CLASS_VALUE).pack(*value) for value in values
    )
    keys = bytearray().join(codec.encode(each) for each, _ in held)
    interval = Interval(
        flipped_ns=0,
        classes=classes.of_map(keys, packed, codec, cpus=CPUS, by_cpu=by_cpu),
        **dict.fromkeys(
            ("seen", "recorded", "filtered", "map_full", "read_failed", "unclassified", "recursion"), 0
        ),
        all=0,
        all_recorded=0,
    )
    return RowMaker(cgroups=False, syscall_work=True, ours=Words()).rows(interval)


def written(found: ExitClasses) -> list[dict[str, object]]:
    made = table(found, start_ns=START_NS, interval_ns=SECOND_NS, metadata=metadata(), every=1)
    rows: list[dict[str, object]] = made.to_pylist()
    return rows


def test_times_are_added_up_over_cpus_and_the_longest_is_kept() -> None:
    found = rows([(key(SIGPENDING, 10), ((2, 2500, 1400), (1, 1900, 1900)))])
    (line,) = written(found)
    assert [line[name] for name in ("word", "count", "latency_log2", "ns", "ns_max")] == [
        *(SIGPENDING, 3, 10, 4400, 1900),
    ]
    assert list(found) == [
        ExitClass(
            context=Context.SYSCALL,
            word=SIGPENDING,
            syscall_work=0,
            count=3,
            syscall=39,
            abi="x86-64",
            comm="make",
            pid=100,
            latency_log2=10,
            ns=4400,
            ns_max=1900,
        )
    ]


@pytest.mark.parametrize("bucket", [0, 31, 63])
def test_an_exit_without_a_time_has_none(bucket: int) -> None:
    held = [
        (key(SIGPENDING, bucket), ((1, 1 << bucket, 1 << bucket), (0, 0, 0))),
        (key(NOTIFY_RESUME), ((5, 0, 0), (0, 0, 0))),
    ]
    assert [(line["latency_log2"], line["ns"], line["ns_max"]) for line in written(rows(held))] == [
        (bucket, 1 << bucket, 1 << bucket),
        (None, None, None),
    ]


def test_where_no_time_is_taken_there_is_no_column_of_it() -> None:
    (line,) = written(rows([(key(SIGPENDING), ((7,), (4,)))]))
    assert (line["count"], line["latency_log2"], line["ns"], line["ns_max"]) == (11, None, None, None)


def test_other_contexts_have_no_call() -> None:
    interrupt = key(NOTIFY_RESUME, syscall=-1)._replace(context=ContextNumber.INTERRUPT)
    of_all = key(0)._replace(all=1)
    first, second = written(rows([(interrupt, ((1,), (0,))), (of_all, ((0,), (9,)))]))
    assert (first["context"], first["syscall"], first["abi"], first["word"]) == (
        *("interrupt", None, None, NOTIFY_RESUME),
    )
    assert (second["path"], second["word"], second["syscall_work"], second["count"]) == ("all", None, None, 9)


def test_cpus_are_kept_apart_where_they_are_asked_for() -> None:
    held = [(key(SIGPENDING), ((3,), (4,))), (key(NOTIFY_RESUME), ((0,), (5,)))]
    assert sorted(
        (line["word"], line["cpu"], line["count"]) for line in written(rows(held, by_cpu=True))
    ) == [
        (NOTIFY_RESUME, 1, 5),
        (SIGPENDING, 0, 3),
        (SIGPENDING, 1, 4),
    ]
