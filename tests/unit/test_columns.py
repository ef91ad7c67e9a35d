from __future__ import annotations

import subprocess
import sys

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tifbpf.recording.columns import column
from tifbpf.recording.schema import SCHEMA

NAMES = pa.dictionary(pa.int32(), pa.string())
UINT64 = st.none() | st.integers(0, 2**64 - 1)
INT8 = st.none() | st.integers(-128, 127)
INT32 = st.none() | st.integers(-(2**31), 2**31 - 1)
TEXT = st.none() | st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(UINT64))
def test_unsigned_is_what_arrow_makes(values: list[int | None]) -> None:
    assert column(values, pa.uint64()).equals(pa.array(values, pa.uint64()))


@given(st.lists(INT32))
def test_signed_is_what_arrow_makes(values: list[int | None]) -> None:
    assert column(values, pa.int32()).equals(pa.array(values, pa.int32()))


@given(st.lists(INT8))
def test_bytes_are_what_arrow_makes(values: list[int | None]) -> None:
    assert column(values, pa.int8()).equals(pa.array(values, pa.int8()))


@given(st.lists(TEXT))
def test_names_are_what_arrow_makes(values: list[str | None]) -> None:
    made = column(values, NAMES)
    made.validate(full=True)
    assert made.to_pylist() == values


@pytest.mark.parametrize("field", list(SCHEMA), ids=lambda field: field.name)
def test_every_type_of_the_schema_is_made(field: pa.Field) -> None:
    column([], field.type).validate(full=True)


def test_writing_a_recording_imports_neither_pandas_nor_numpy() -> None:
    # A recorder stays resident on production machines; these two would double its memory.
    script = (
        "import sys; sys.modules['numpy'] = None\n"
        "import pyarrow as pa\n"
        "from tifbpf.recording.columns import column\n"
        "import tifbpf.recording.writer\n"
        "column(['a', None], pa.dictionary(pa.int32(), pa.string())); column([1, None], pa.uint64())\n"
        "print('pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
