"""Files that no recorder wrote: read as what they were made of, or refused in a line, within bounds.

The long campaigns with these files, and with a fuzzer, are `make torture TORTURE="fuzz files"`.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tifbpf
from tests.torture.fuzz import mutations
from tests.torture.fuzz.campaign import Judge
from tests.torture.fuzz.reading import Reader, reader
from tests.unit import recordings as build
from tifbpf.errors import TifbpfError
from tifbpf.layouts.model import Context
from tifbpf.recording import parquet
from tifbpf.recording.metadata import encode
from tifbpf.recording.schema import DIMENSIONS, SCHEMA
from tifbpf.reporters import model

EACH = 3
"""Files of a kind."""


@pytest.fixture(scope="module")
def stranger() -> Iterator[Reader]:
    with reader() as found:
        yield found


def some_of_each_kind() -> list[int]:
    """Numbers of files, the first of each kind."""
    kinds: dict[str, list[int]] = {}
    for number in range(250):
        numbers = kinds.setdefault(mutations.file(number).kind, [])
        if len(numbers) < EACH:
            numbers.append(number)
    return sorted(number for numbers in kinds.values() for number in numbers)


def test_mutated_recordings(stranger: Reader, tmp_path: Path) -> None:
    """Never a traceback, a hang, a crash, another number or more than 1 GB."""
    judge = Judge(stranger, tmp_path)
    verdicts = []
    for number in some_of_each_kind():
        answer, failure = judge.failure(mutations.file(number))
        assert failure is None, f"file {number}: {failure}"
        verdicts.append(answer.verdict)
    assert len(verdicts) > 10 * EACH
    assert {"read", "refused"} == set(verdicts)


def test_a_time_just_before_1970(tmp_path: Path) -> None:
    """Its step began before that, too."""
    rows = [build.row(0, 1, time=-1), build.row(2, 3)]
    report = model.build(tifbpf.read(build.write(tmp_path / "a.tif.parquet", rows)), 10)
    assert report.timeline is not None
    steps = [(step.frequency.exits, step.seconds) for step in report.timeline.steps if step.frequency.exits]
    assert steps == [(1, 1.0), (3, 1.0)]


words = st.integers(0, 2**64 - 1)
names = st.text(st.characters(min_codepoint=32, max_codepoint=0x17F, exclude_categories=("Cc",)), max_size=15)
rows = st.lists(
    st.builds(
        build.row,
        words,
        st.integers(1, 2**40),
        syscall_work=st.sampled_from([0, 1, 4, 5]),
        context=st.sampled_from([context.value for context in Context]),
        cpu=st.integers(0, 2**15),
        pid=st.integers(0, 2**22),
        comm=names,
        cgroup=names,
        time=st.integers(0, 1000).map(lambda second: build.START_NS + second * build.SECOND_NS),
    ),
    min_size=1,
    max_size=30,
)


def written(lines: list[dict[str, Any]]) -> bytes:
    """A recording of these rows, as tifbpf writes it."""
    about = build.metadata(lines, contexts=build.everything(), dimensions=DIMENSIONS)
    stream = io.BytesIO()
    parquet.write(stream, [build.table(lines, about.layout)], SCHEMA, encode(about))
    return stream.getvalue()


def read(content: bytes) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "a.tif.parquet"
        path.write_bytes(content)
        (found,) = build.load([path])
        return found.rows.to_pylist()


few = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@few
@given(rows)
def test_what_is_written_is_read(lines: list[dict[str, Any]]) -> None:
    about = build.metadata(lines, contexts=build.everything(), dimensions=DIMENSIONS)
    assert read(written(lines)) == build.table(lines, about.layout).to_pylist()


@few
@given(rows, st.data())
def test_what_is_changed_is_refused_or_read_as_it_was(
    lines: list[dict[str, Any]], data: st.DataObject
) -> None:
    content = written(lines)
    begin = data.draw(st.integers(0, len(content) - 1))
    end = data.draw(st.integers(begin, min(begin + 64, len(content))))
    put = data.draw(st.binary(max_size=64))
    try:
        found = read(content[:begin] + put + content[end:])
    except TifbpfError as error:
        assert str(error).isprintable()  # noqa: PT017
        return
    assert found == read(content)
