"""The report as a page and as a picture: what is in them. How a browser shows it is in tests/browser."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tifbpf
from tests.unit import recordings as build
from tests.unit.recordings import SECOND_NS, START_NS, covered, row, write
from tests.unit.test_analysis import MIXED
from tests.unit.test_reporters import COMMAND, HOSTILE, full
from tifbpf.errors import TifbpfError
from tifbpf.layouts.model import Context
from tifbpf.reporters import charts, model, plot, vega
from tifbpf.reporters import html as html_reporter


class Page(html.parser.HTMLParser):
    """The elements of a page, and what stands in its scripts, styles and cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.specs: list[Any] = []
        self.styles: list[str] = []
        self.cells: list[str] = []
        self.headings: list[str] = []
        self._open: list[str] = []
        self._text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style", "td", "h2", "h3"):
            self._open.append(tag)
            self._text = ""

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1] != tag:
            return
        self._open.pop()
        match tag:
            case "script" if self.elements and ("type", "application/json") in self.last("script").items():
                self.specs.append(json.loads(self._text))
            case "script":
                self.scripts.append(self._text)
            case "style":
                self.styles.append(self._text)
            case "td":
                self.cells.append(self._text.strip())
            case _:
                self.headings.append(self._text)

    def last(self, tag: str) -> dict[str, str | None]:
        return next(attributes for name, attributes in reversed(self.elements) if name == tag)

    def policy(self) -> str:
        (found,) = [
            attributes["content"]
            for name, attributes in self.elements
            if name == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
        ]
        assert found is not None
        return found


def written(tmp_path: Path, rows: list[dict[str, Any]], **given: Any) -> str:
    return html_reporter.within(tifbpf.read(write(tmp_path / "a.tif.parquet", rows, **given)))


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> str:
    return html_reporter.render(full(tmp_path_factory.mktemp("full")))


def test_its_order(tmp_path: Path) -> None:
    rows = [{**line, "time": START_NS + step * SECOND_NS} for line in MIXED for step in range(2)]
    page = Page(written(tmp_path, rows, dimensions=("comm",)))
    assert [text for text in page.headings if text in {
        "Before you quote these figures", "Why exits were slow", "Bits that made exits slow", "Words",
        "Bits that triggered together", "Over time", "Threads by name", "What the slowpath was needed for",
        "Coverage and provenance", "Losses",
    }] == [
        "Before you quote these figures", "Why exits were slow", "Bits that made exits slow", "Words",
        "Bits that triggered together", "Over time", "Threads by name", "What the slowpath was needed for",
        "Coverage and provenance", "Losses",
    ]  # fmt: skip


def test_every_section_of_the_text_report_is_in_it(everything: str) -> None:
    page = Page(everything)
    for title in (
        "Who set the bits",
        "Who had work at NOTIFY_RESUME",
        "Time in the slowpath, by bit",
        "Routes",
    ):
        assert title in page.headings
    assert "Layout: 6.18" in page.headings
    assert any("resched_curr: kworker/0:1" in cell for cell in page.cells)


def test_what_is_not_known_is_said(everything: str) -> None:
    page = Page(everything)
    assert "not covered" in page.cells
    assert "unknown" in page.cells
    start = everything.index("<header>")
    header = everything[start : everything.index("</header>")]
    assert re.search(r'<td class="number count unknown" data-value="">unknown</td>', header)


def test_nothing_but_itself_is_needed(everything: str) -> None:
    page = Page(everything)
    for name, attributes in page.elements:
        assert name not in ("link", "iframe", "img", "object", "embed", "base", "form")
        assert not {"src", "srcset", "action", "background", "style"} & attributes.keys(), name
        target = attributes.get("href") or attributes.get("xlink:href") or "#"
        assert target.startswith("#"), target
    for style in page.styles:
        assert "url(" not in style
        assert "@import" not in style


def test_the_policy_allows_what_is_there_and_nothing_else(tmp_path: Path) -> None:
    rows = [{**line, "time": START_NS + step * SECOND_NS} for line in MIXED for step in range(2)]
    page = Page(written(tmp_path, rows))
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in (*page.styles, *page.scripts)
    ]
    assert len(hashes) == 3
    assert page.policy() == (
        f"default-src 'none'; style-src {hashes[0]}; script-src {hashes[1]} {hashes[2]}; "
        "base-uri 'none'; form-action 'none'"
    )


def test_hostile_names_are_text(tmp_path: Path) -> None:
    names = [*HOSTILE, "</script><script>", "</style>", '" onload="x', "{{ 7 * 7 }}", "&lt;", "\udcff"]
    names = [name for name in names if name.isascii() or name != "\udcff"]
    rows = [row(0x2, 1 + place, comm=name) for place, name in enumerate(names)]
    text = written(tmp_path, rows, dimensions=("comm",), command=("</script><img src=x>",))
    page = Page(text)
    assert "</script><script>" in page.cells
    assert "{{ 7 * 7 }}" in page.cells
    assert "\\x1b[31mred\\x1b[0m" in page.cells
    assert "\\u202eright-to-left" in page.cells
    assert "two\\nlines" in page.cells
    assert [name for name, _ in page.elements if name in ("img", "b")] == ["b"] * text.count("<b>")
    assert not [
        attributes for _, attributes in page.elements if any(name.startswith("on") for name in attributes)
    ]
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text)
    assert not any(character in text for character in ("\u202e", "\x9b"))


def test_a_table_knows_its_values(tmp_path: Path) -> None:
    text = written(tmp_path, MIXED, dimensions=("comm",))
    table = text[text.index('<caption class="quiet">Threads by name') :]
    assert re.findall(r'data-value="([^"]*)"', table)[:3] == ["1100", "100", "0.09090909090909091"]


def test_it_fits_into_five_megabytes(tmp_path: Path) -> None:
    rows = [
        row(0x2, 1 + place % 97, cgroup=f"/slice-{place}/{'x' * 5000}", comm=f"t{place}")
        for place in range(3000)
    ]
    text = written(tmp_path, rows, dimensions=("comm", "cgroup"))
    assert 1_000_000 < len(text.encode()) <= 5_000_000
    assert "(2,700 others)" in text
    recordings = tifbpf.read(tmp_path / "a.tif.parquet")
    with pytest.raises(TifbpfError, match="would be larger than"):
        html_reporter.within(recordings, most=50_000)


def test_charts_are_drawn_without_scripts_at_both_widths(tmp_path: Path) -> None:
    rows = [{**line, "time": START_NS + step * SECOND_NS} for line in MIXED for step in range(3)]
    page = Page(written(tmp_path, rows))
    drawings = [
        attributes for name, attributes in page.elements if name == "svg" and attributes.get("role") == "img"
    ]
    assert len(drawings) == 6
    assert all(attributes["aria-label"] for attributes in drawings)
    (spec,) = page.specs
    assert {line["bit"] for line in spec["datasets"]["rows"]} > {"any bit", "SIGPENDING"}


class TestTimeline:
    def chart(self, tmp_path: Path, rows: list[dict[str, Any]], **given: Any) -> charts.Chart:
        found = charts.timeline(model.build(tifbpf.read(write(tmp_path / "a.tif.parquet", rows, **given))))
        assert found is not None
        return found

    def points(self, found: charts.Chart, bit: str) -> list[tuple[int, float | None]]:
        start = START_NS // 10**6
        return [(int(line["t"] or 0) - start, line["v"]) for line in found.rows if line["bit"] == bit]  # type: ignore[misc]

    def test_it_is_the_share_where_all_exits_were_counted(self, tmp_path: Path) -> None:
        later = {"time": START_NS + SECOND_NS}
        rows = [row(0x2, 10), row(0, 90), row(0x12, 5, **later), row(0x1, 20, **later), row(0, 75, **later)]
        found = self.chart(tmp_path, rows)
        assert found.values == {"unit": "per cent of exits"}
        assert self.points(found, "any bit") == [(0, 10), (1000, 25), (2000, 25), (2000, None)]
        assert self.points(found, "SIGPENDING") == [(0, 10), (1000, 5), (2000, 5), (2000, None)]
        assert self.points(found, "NOTIFY_RESUME") == [(0, 0), (1000, 20), (2000, 20), (2000, None)]

    def test_what_was_not_recorded_breaks_the_line(self, tmp_path: Path) -> None:
        rows = [row(0x2, 10), row(0, 90), row(0x2, 10, time=START_NS + 5 * SECOND_NS)]
        found = self.chart(tmp_path, rows)
        assert self.points(found, "any bit") == [
            (0, 10), (1000, 10), (1000, None), (5000, 100), (6000, 100), (6000, None),
        ]  # fmt: skip
        assert found.notes == ("A line is broken where nothing was recorded.",)

    def test_it_is_the_rate_where_exits_were_not_counted(self, tmp_path: Path) -> None:
        contexts = (covered(Context.SYSCALL, denominator=None), *build.syscalls_only()[1:])
        found = self.chart(tmp_path, [row(0x2, 40)], contexts=contexts)
        assert found.values == {"unit": "slow exits a second"}
        assert self.points(found, "SIGPENDING") == [(0, 40), (1000, 40), (1000, None)]
        assert found.notes[0].startswith("Not all exits were counted")

    def test_long_recordings_have_longer_steps(self, tmp_path: Path) -> None:
        rows = [row(0x2, 1, time=START_NS + second * SECOND_NS) for second in range(1000)]
        report = model.build(tifbpf.read(write(tmp_path / "a.tif.parquet", rows)))
        assert report.timeline is not None
        assert report.timeline.step_seconds == 5
        assert 200 <= len(report.timeline.steps) <= 201
        (bit,) = report.timeline.bits
        assert sum(bit.slow) == 1000

    def test_nothing_recorded(self, tmp_path: Path) -> None:
        report = model.build(tifbpf.read(write(tmp_path / "a.tif.parquet", [])))
        assert report.timeline is None
        text = html_reporter.render(report)
        assert "Over time" not in text
        assert "0 exits were recorded." in text


def test_bits_that_are_not_known_have_no_bar(tmp_path: Path) -> None:
    contexts = tuple(build.uncovered(context) for context in Context)
    report = model.build(tifbpf.read(write(tmp_path / "a.tif.parquet", [], contexts=contexts)))
    chart = charts.bits(report)
    assert chart is not None
    assert {line["label"] for line in chart.rows} == {"unknown"}
    assert {line["trigger"] for line in chart.rows} == {None}
    drawn = vega.svg(vega.spec("bits", chart.rows, vega.colours("light"), 700))
    assert 'aria-roledescription="bar"' not in drawn


def test_the_heatmap_says_what_it_does_not_know(tmp_path: Path) -> None:
    recordings = tifbpf.read(write(tmp_path / "a.tif.parquet", MIXED))
    chart = charts.pairs(model.build(recordings))
    assert chart is not None
    cells = {(str(line["row"]).split()[0], line["column"]): line["label"] for line in chart.rows}
    assert cells["SIGPENDING", "1"] == "88"
    assert cells["NEED_RESCHED", "1"] == "6"
    assert cells["NEED_RESCHED_LAZY", "1"] == "0"
    short = charts.pairs(model.build(recordings, 1))
    assert short is not None
    assert {"?"} <= {line["label"] for line in short.rows}, "pairs that were left out for length"


class TestPlot:
    def test_svg(self, tmp_path: Path) -> None:
        report = model.build(tifbpf.read(write(tmp_path / "a.tif.parquet", MIXED)))
        drawn = plot.render(report, Path("a.svg"))
        assert isinstance(drawn, str)
        assert drawn.startswith("<svg")
        for text in (
            "121 of 1,137 exits were slow",
            "web1, Linux 6.18.44-amd64, 10.0 s",
            "88.4 % of slow exits",
        ):
            assert text in drawn
        assert "Not covered: interrupt and exception exits." in drawn
        assert "var(" not in drawn
        assert "@" not in drawn

    def test_png(self, tmp_path: Path) -> None:
        report = model.build(tifbpf.read(write(tmp_path / "a.tif.parquet", MIXED)))
        drawn = plot.render(report, Path("a.png"))
        assert isinstance(drawn, bytes)
        assert drawn.startswith(b"\x89PNG\r\n")
        assert int.from_bytes(drawn[16:20], "big") == 1920

    def test_a_hostile_host(self, tmp_path: Path) -> None:
        from tifbpf.recording.metadata import Host

        path = write(tmp_path / "a.tif.parquet", MIXED, host=Host(name="<script>\x1b[1m</svg>", cpus=1))
        drawn = plot.render(model.build(tifbpf.read(path)), Path("a.svg"))
        assert isinstance(drawn, str)
        assert "<script" not in drawn
        assert drawn.count("</svg>") == 1
        assert "\x1b" not in drawn


class TestCommand:
    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)

    @pytest.fixture
    def recording(self, tmp_path: Path) -> Path:
        return write(tmp_path / "a.tif.parquet", MIXED, dimensions=("comm",))

    def test_it_writes_what_is_named_and_prints_nothing(self, recording: Path, tmp_path: Path) -> None:
        page, picture = tmp_path / "r.html", tmp_path / "r.svg"
        done = self.run("--html", page, "--plot", picture, recording)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert page.read_text().startswith("<!DOCTYPE html>")
        assert picture.read_text().startswith("<svg")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif.parquet", "r.html", "r.svg"]

    def test_it_overwrites_nothing_unless_told(self, recording: Path) -> None:
        before = recording.read_bytes()
        done = self.run("--html", recording, recording)
        assert (done.returncode, done.stderr.count("\n")) == (13, 1)
        assert recording.read_bytes() == before
        page = recording.with_name("r.html")
        page.write_text("old")
        assert self.run("--html", page, "--force", recording).returncode == 0
        assert page.read_text() != "old"

    def test_where_it_cannot_write(self, recording: Path, tmp_path: Path) -> None:
        done = self.run("--html", tmp_path / "no" / "r.html", recording)
        assert (done.returncode, done.stderr.count("\n")) == (14, 1)

    def test_a_picture_of_another_kind(self, recording: Path) -> None:
        done = self.run("--plot", "a.gif", recording)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert ".svg or .png" in done.stderr

    def test_without_the_extra(self, recording: Path, tmp_path: Path) -> None:
        script = (
            "import sys; sys.modules['vl_convert'] = None\n"
            "from tifbpf.cli import main\n"
            f"sys.argv = ['tifbpf', 'report', '--html', {str(tmp_path / 'r.html')!r}, {str(recording)!r}]\n"
            "main()"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr.count("\n")) == (25, 1)
        assert "pip install 'tifbpf[html]'" in done.stderr
        assert not (tmp_path / "r.html").exists()
