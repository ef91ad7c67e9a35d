from __future__ import annotations

import subprocess
import sys

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tifbpf.recording.columns import column
from tifbpf.recording.exits import Names, Numbers
from tifbpf.recording.schema import SCHEMA

NAMES = pa.dictionary(pa.int32(), pa.string())
UINT64 = st.none() | st.integers(0, 2**64 - 1)
INT8 = st.none() | st.integers(-128, 127)
INT32 = st.none() | st.integers(-(2**31), 2**31 - 1)
TEXT = st.none() | st.text(st.characters(exclude_categories=["Cs"]))


@settings(deadline=None)
@given(st.lists(UINT64))
def test_unsigned_is_what_arrow_makes(values: list[int | None]) -> None:
    assert column(Numbers.of(values), pa.uint64(), len(values)).equals(pa.array(values, pa.uint64()))


@settings(deadline=None)
@given(st.lists(INT32))
def test_signed_is_what_arrow_makes(values: list[int | None]) -> None:
    assert column(Numbers.of(values), pa.int32(), len(values)).equals(pa.array(values, pa.int32()))


@settings(deadline=None)
@given(st.lists(INT8))
def test_bytes_are_what_arrow_makes(values: list[int | None]) -> None:
    assert column(Numbers.of(values), pa.int8(), len(values)).equals(pa.array(values, pa.int8()))


@settings(deadline=None)
@given(st.lists(TEXT))
def test_names_are_what_arrow_makes(values: list[str | None]) -> None:
    made = column(Names.of(values), NAMES, len(values))
    made.validate(full=True)
    assert made.to_pylist() == values


@pytest.mark.parametrize("field", list(SCHEMA), ids=lambda field: field.name)
def test_every_type_of_the_schema_is_made(field: pa.Field) -> None:
    column(None, field.type, 0).validate(full=True)
    assert column(None, field.type, 3).null_count == 3


def test_a_name_that_is_there_twice_is_one() -> None:
    made = column(Names([0, 1, 2, 0], ["a", "b", "a"]), NAMES, 4)
    assert (made.to_pylist(), made.dictionary.to_pylist()) == (["a", "b", "a", "a"], ["a", "b"])


def test_writing_a_recording_imports_neither_pandas_nor_numpy() -> None:
    # A recorder stays resident on production machines; these two would double its memory.
    script = (
        "import sys; sys.modules['numpy'] = None\n"
        "import pyarrow as pa\n"
        "from tifbpf.recording.columns import column\n"
        "from tifbpf.recording.exits import Names, Numbers\n"
        "import tifbpf.recording.tables, tifbpf.recording.writer\n"
        "column(Names.of(['a', None]), pa.dictionary(pa.int32(), pa.string()), 2)\n"
        "column(Numbers.of([1, None]), pa.uint64(), 2); column(None, pa.int32(), 2)\n"
        "print({'pandas', 'pyarrow.compute', 'pyarrow.dataset'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
