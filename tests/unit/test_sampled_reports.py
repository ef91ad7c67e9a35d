"""Reports of recordings that did not look at every exit say so, everywhere."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

import tifbpf
from tests.unit import recordings as build
from tests.unit.test_analysis import MIXED
from tifbpf import Recordings
from tifbpf.recording.metadata import Sampling, Step, Totals
from tifbpf.reporters import csv as report_csv
from tifbpf.reporters import html, markdown, model, seen, terminal
from tifbpf.reporters import json as report_json

SECOND = build.SECOND_NS


def sample(path: Path, sampling: Sampling, *, not_sampled: int = 0, **given: object) -> Recordings:
    recorded = sum(row["count"] for row in MIXED)
    totals = Totals(seen=recorded, recorded=recorded, not_sampled=not_sampled)
    about = {"dimensions": ("comm",), "totals": totals, "sampling": sampling, **given}
    return tifbpf.read(build.write(path, MIXED, **about))


@pytest.fixture
def one_in_ten(tmp_path: Path) -> Recordings:
    return sample(
        tmp_path / "a.tif.parquet", Sampling(one_in=10, recorded_ns=10 * SECOND), not_sampled=10_000
    )


def shown(document: RenderableType, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, theme=terminal.theme())
    with console.capture() as capture:
        console.print(document)
    return capture.get()


def flat(text: str) -> str:
    return " ".join(text.split())


def test_the_terminal_says_estimates_and_between_what_they_lie(one_in_ten: Recordings) -> None:
    report = model.build(one_in_ten)
    text = flat(shown(terminal.document(report), 100))
    assert (
        "About 1,210 of about 11,370 exits were slow: 10.6 % (9.06 to 12.5 %, with 95 % confidence)" in text
    )
    assert "One exit in 10 was looked at, at random: 1,137, while 10,000 were passed by." in text
    assert "Bits that made exits slow (estimates)" in text
    assert "Threads by name (estimates)" in text
    assert "est. exits" in text
    assert "set in none of the 1,137 exits that were looked at" in text
    assert "never set in" not in text
    assert "10,000 more were passed by without a look" in text
    assert "one exit in 10, all of the time" in text


def test_an_exact_report_says_nothing_of_that(tmp_path: Path) -> None:
    exact = tifbpf.read(build.write(tmp_path / "a.tif.parquet", MIXED, dimensions=("comm",)))
    text = markdown.render(model.build(exact))
    assert not any(word in text for word in ("estimate", "est. ", "95 %", "passed by", "in a sample"))


def test_the_summary_says_so_too(one_in_ten: Recordings) -> None:
    text = flat(shown(terminal.summary(model.build(one_in_ten)), 120))
    assert "exits (estimated)" in text
    assert "10.6 % (9.06 to 12.5 %) of exits" in text


def test_markdown_html_json_and_csv(one_in_ten: Recordings) -> None:
    report = model.build(one_in_ten)
    assert "(9.06 to 12.5 %, with" in flat(markdown.render(report))
    page = html.render(report)
    assert "95 %: 9.06 to 12.5 %" in page
    assert "(estimates)" in page
    document = json.loads(report_json.render(report))
    assert document["estimated"] is True
    assert document["recordings"][0]["sampling"]["one_in"] == 10
    assert document["accounting"]["not_sampled"] == 10_000
    assert 0.09 < document["total"]["share_low"] < 0.1064 < document["total"]["share_high"] < 0.13
    (line,) = (line for line in document["dimensions"][0]["lines"] if line["value"] == "bash")
    assert line["frequency"]["share_low"] < 1 / 11 < line["frequency"]["share_high"]
    rows = list(csv.reader(io.StringIO(report_csv.render(report))))
    found = {(table, row, measure): value for table, row, measure, value in rows}
    assert float(found["exits", "all", "share_low"]) == document["total"]["share_low"]
    assert found["accounting", "all", "not_sampled"] == "10000"


def test_windows_and_what_an_overhead_allowed(tmp_path: Path) -> None:
    duty = sample(tmp_path / "a.tif.parquet", Sampling(every=10, recorded_ns=SECOND), duration_ns=10 * SECOND)
    text = flat(markdown.render(model.build(duty)))
    assert "1/10 of the time was recorded: 1.0 s for 10.0 s, in windows at random places" in text
    step = Step(at_ns=5 * SECOND, every=4, cost=3.25)
    bounded = sample(
        tmp_path / "b.tif.parquet",
        Sampling(max_overhead=1.0, cost=0.9, steps=(step,), recorded_ns=6 * SECOND),
        setters=(),
        handlers=(),
    )
    text = flat(markdown.render(model.build(bounded)))
    assert "Between 1/4 and all of the time was recorded" in text
    assert "(--max-overhead 1: 1 change)" in text
    assert "all of the time, 1/4 after 5.0 s (6.0 s); the recorder took 0.9 % of the CPUs' time" in text
    assert "Who set the bits, and what had work, is as it was counted" in text


def test_what_was_not_in_a_sample_is_not_called_dead(one_in_ten: Recordings) -> None:
    said = " ".join(sentence for audit in seen.build(one_in_ten) for sentence in audit.conclusion)
    assert "were not seen to be set" in said or "was not seen to be set" in said
    assert "only a sample of them was looked at" in said
    assert "never set" not in said
    assert "can be discarded" not in said
