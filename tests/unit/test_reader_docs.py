"""The documentation of recordings and of the API says what is."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pyarrow as pa
import pytest

import tifbpf
from tests.unit.recordings import write
from tests.unit.test_analysis import MIXED
from tifbpf import text
from tifbpf.recording import buckets
from tifbpf.recording.schema import SAMPLED, SAMPLED_SCHEMA, SCHEMA, SINCE, WEIGHTS
from tifbpf.reporters import numbers, render
from tifbpf.reporters.notebook import Plots

DOCS = Path(__file__).parents[2] / "docs"


def type_name(kind: pa.DataType) -> str:
    return f"dictionary<{kind.value_type}>" if pa.types.is_dictionary(kind) else str(kind)


def test_the_schema_is_documented() -> None:
    documented = re.findall(
        r"^\| `(\w+)` \| (\S.*?) \| (yes|no) \|", (DOCS / "recording.md").read_text(), re.MULTILINE
    )
    sampled = [SAMPLED_SCHEMA.field(name) for name in (SAMPLED, *WEIGHTS.names)]
    assert documented == [
        (field.name, type_name(field.type), "yes" if field.nullable else "no")
        for field in [*SCHEMA, *sampled]
    ]


def test_what_came_later_is_documented() -> None:
    (line,) = re.findall(r"^Schema 1 had no (.*);", (DOCS / "recording.md").read_text(), re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", line)) == set(SINCE)


def methods_of(kind: type) -> set[str]:
    return {name for name, member in vars(kind).items() if not name.startswith("_") and callable(member)}


def test_every_method_is_documented() -> None:
    page = (DOCS / "api.md").read_text()
    documented = set(re.findall(r"^\| `(\w+)\(", page, re.MULTILINE))
    assert documented == (methods_of(tifbpf.Recordings) | methods_of(tifbpf.Comparison)) - {"having"}
    assert set(re.findall(r"^\| `plot\.(\w+)\(", page, re.MULTILINE)) == methods_of(Plots)


def test_the_examples_of_the_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "exits.tif.parquet", MIXED, dimensions=("comm",))
    monkeypatch.chdir(tmp_path)
    results = doctest.testfile(
        str(DOCS / "api.md"), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE
    )
    assert results.attempted > 5
    assert results.failed == 0


@pytest.mark.parametrize("module", [buckets, numbers, render, text])
def test_the_examples_of_functions(module: object) -> None:
    results = doctest.testmod(module)  # type: ignore[arg-type]
    assert results.attempted > 0
    assert results.failed == 0
