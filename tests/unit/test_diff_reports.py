"""What `tifbpf diff` says: the same figures in every form, and names from outside that do nothing in any."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.unit.comparisons import random, recorded, steady
from tests.unit.recordings import SECOND_NS, START_NS, covered, row, syscalls_only, write
from tests.unit.test_html import Page
from tests.unit.test_reporters import HOSTILE
from tifbpf.cli.app import run
from tifbpf.errors import ExitCode, NotComparableError, OutputExistsError
from tifbpf.layouts.model import Context
from tifbpf.recording.metadata import Host
from tifbpf.reporters import diff_sections
from tifbpf.reporters import json as json_report
from tifbpf.reporters.diff_schema import SCHEMA_VERSION, Change, Diff

SCHEMA = Path(__file__).parents[2] / "reports" / "diff.schema.json"


@pytest.fixture
def pair(tmp_path: Path) -> list[str]:
    """Half as many NOTIFY_RESUME after as before."""
    return [
        str(recorded(tmp_path / f"{name}.tif.parquet", random(seed, notify_resume=share, sigpending=0.02)))
        for seed, (name, share) in enumerate({"before": 0.03, "after": 0.015}.items())
    ]


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["diff", *arguments]) == ExitCode.OK
    return capsys.readouterr().out


def test_the_schema_is_that_of_the_types() -> None:
    assert SCHEMA.read_text() == json_report.schema(Diff), "run `make docs`"


def test_the_json_is_by_the_schema(pair: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(said(capsys, *pair, "--json"))
    jsonschema.validate(found, json.loads(SCHEMA.read_text()))
    assert found["schema"] == SCHEMA_VERSION
    assert (found["before"]["intervals"], found["after"]["intervals"]) == (60, 60)
    bits = {bit["bit"]: bit for bit in found["bits"]}
    notify = bits["NOTIFY_RESUME"]["share"]
    assert notify["verdict"] == "changed"
    assert notify["change"]["low"] < -0.5 < notify["change"]["high"]
    assert notify["before"]["low"] < 0.03 < notify["before"]["high"]
    assert bits["SIGPENDING"]["rate"]["verdict"] == "unchanged"
    assert {"word": "tif", "bit": "UPROBE"} in found["idle_bits"]


def test_the_text_says_the_same(pair: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for text in (said(capsys, *pair), said(capsys, *pair, "--markdown")):
        lines = [" ".join(line.split()) for line in text.splitlines()]
        whole = " ".join(lines)
        assert re.search(
            r"5\.0\d % of exits were slow before \(4\.\d+ to 5\.\d+ %\), 3\.[45]\d % after \(", whole
        )
        assert re.search(r"The change is -3\d\.\d % \(-3\d\.\d to -2\d\.\d %\): changed\.", whole)
        assert any(line.endswith("changed NOTIFY_RESUME") and " unchanged" not in line for line in lines)
        assert any(line.endswith("unchanged SIGPENDING") for line in lines)
        assert any("lies between -10 and +10 %" in line for line in lines)


def test_the_markdown_is_for_mail(pair: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, *pair, "--markdown")
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 80
    titles = [line for line, below in itertools.pairwise(text.splitlines()) if set(below) == {"-"}]
    assert titles[:2] == ["Before you quote these figures", "Bits that made exits slow: share of exits"]


def test_a_narrower_band(pair: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(said(capsys, *pair, "--json", "--band", "0.1"))
    (signal,) = (bit for bit in found["bits"] if bit["bit"] == "SIGPENDING")
    assert signal["share"]["verdict"] == "too little data"


def test_several_on_each_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [
        str(recorded(tmp_path / f"{place}.tif.parquet", steady(fast=900, sigpending=100)))
        for place in range(4)
    ]
    sides = ("--before", files[0], "--before", files[1], "--after", files[2], "--after", files[3])
    found = json.loads(said(capsys, *sides, "--json"))
    assert found["before"]["intervals"] == found["after"]["intervals"] == 120
    before = found["total"]["share"]["before"]
    assert (before["events"], before["value"]) == (12_000, 0.1)
    assert [recording["path"] for recording in found["after"]["recordings"]] == files[2:]


@pytest.mark.parametrize(
    "arguments", [[], ["a"], ["a", "b", "c"], ["a", "--before", "b", "--after", "c"], ["--before", "b"]]
)
def test_sides_are_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", *arguments]) == ExitCode.USAGE
    assert "give BEFORE AFTER" in capsys.readouterr().err


def test_too_few_intervals_say_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [
        str(recorded(tmp_path / f"{place}.tif.parquet", steady(fast=900, sigpending=100), intervals=10))
        for place in range(2)
    ]
    text = " ".join(said(capsys, *files).split())
    assert "10 and 10 intervals are too few to tell: record longer, or with a shorter --interval." in text
    assert "too little data" in text


def test_what_was_compared_anyway_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts = steady(fast=900, sigpending=100)
    files = [
        str(recorded(tmp_path / "a.tif.parquet", counts)),
        str(recorded(tmp_path / "b.tif.parquet", counts, filters={"comm": "x"})),
    ]
    with pytest.raises(NotComparableError, match="compare them with --anyway"):
        run(["diff", *files])
    text = " ".join(said(capsys, *files, "--anyway").split())
    assert "Not the same, and compared anyway: Filters: self excluded (before), comm x (after)." in text


def test_what_is_not_known_is_no_zero(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contexts = (covered(Context.SYSCALL, denominator=None), *syscalls_only()[1:])
    files = [
        str(recorded(tmp_path / f"{place}.tif.parquet", steady(sigpending=100), contexts=contexts))
        for place in range(2)
    ]
    text = " ".join(said(capsys, *files).split())
    assert "share of exits unknown unknown not comparable" in text
    assert "100 slow exits a second before" in text
    assert "Not known: not all exits were counted." in text


def test_changes_as_people_read_them() -> None:
    def shown(low: float, high: float | None) -> str:
        return diff_sections.interval(Change(value=0.0, low=low, high=high))

    assert shown(-0.503, -0.386) == "-50.3 to -38.6 %"
    assert shown(-0.01, 0.004) == "-1.00 to +0.400 %"
    assert shown(8.3, None) == "+830 % or more"
    assert shown(-1, None) == "anything"
    assert diff_sections.interval(None) == ""
    assert [diff_sections.change(value) for value in (None, 0.0, -1.0, 12.345)] == [
        "new",
        "0 %",
        "-100 %",
        "+1,234 %",
    ]


NAMES = [*HOSTILE, "<img src=x onerror=alert(1)>", "\x1b[31mred", "=cmd()", "a\\xffb", "{{ 7*7 }}"]


@pytest.fixture
def hostile(tmp_path: Path) -> list[str]:
    def written(name: str) -> str:
        rows: list[dict[str, Any]] = [
            row(word, count, time=START_NS + number * SECOND_NS, comm=comm)
            for number in range(12)
            for comm in NAMES
            for word, count in ((0, 100), (2, 10))
        ]
        path = tmp_path / f"{name}<b>\x1b[1m.tif.parquet"
        host = Host(name=f"<script>alert('{name}')</script>\x1b[1m\n", cpus=1)
        return str(write(path, rows, id=name, duration_ns=12 * SECOND_NS, dimensions=("comm",), host=host))

    return [written("a"), written("b")]


def test_hostile_names_do_nothing_in_text(hostile: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ((), ("--markdown",), ("--json",)):
        text = said(capsys, *hostile, "--top", "50", *arguments)
        assert all(line.isprintable() for line in text.split("\n"))
        assert "red" in text
    markdown = said(capsys, *hostile, "--markdown")
    headings = [line for line in markdown.splitlines() if not line.startswith(" ")]
    assert not any("script" in line for line in headings)


def test_hostile_names_are_text_in_html(hostile: list[str], tmp_path: Path) -> None:
    out = tmp_path / "diff.html"
    assert run(["diff", *hostile, "--top", "50", "--html", str(out)]) == ExitCode.OK
    page = Page(out.read_text())
    assert {"script", "img", "b", "link"}.isdisjoint(tag for tag, _ in page.elements)
    attributes = {name for _, found in page.elements for name in found}
    assert not [name for name in attributes if name.startswith("on") or name in ("src", "style")]
    assert {"<img src=x onerror=alert(1)>", "{{ 7*7 }}"} <= set(page.cells)
    assert "\x1b" not in out.read_text()
    with pytest.raises(OutputExistsError):
        run(["diff", *hostile, "--html", str(out)])


def test_the_page_needs_nothing_and_runs_nothing(pair: list[str], tmp_path: Path) -> None:
    out = tmp_path / "diff.html"
    assert run(["diff", *pair, "--html", str(out)]) == ExitCode.OK
    text = out.read_text()
    page = Page(text)
    assert "script-src 'none'" in page.policy()
    assert "http" not in text.replace("http-equiv", "")
    assert {"changed", "unchanged"} <= set(page.cells)
    assert "Bits that made exits slow: share of exits" in page.headings
