"""What a notebook shows, and the example notebook, executed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import pytest

import tifbpf
from tests.unit.recordings import covered, row, uncovered, write
from tests.unit.test_analysis import MIXED
from tifbpf.errors import NoExtraError, OutputExistsError, TifbpfError
from tifbpf.layouts.model import Context
from tifbpf.recording.metadata import Host
from tifbpf.reporters import vega

DOCS = Path(__file__).parents[2] / "docs"
HOSTILE = "<script>alert(1)</script>\x1b[31m"


@pytest.fixture
def mixed(tmp_path: Path) -> tifbpf.Recordings:
    return tifbpf.read(write(tmp_path / "exits.tif.parquet", MIXED, dimensions=("comm",)))


def plain(notebook: nbformat.NotebookNode) -> list[str]:
    """Return the text of every output."""
    return [
        output.get("text") or output["data"]["text/plain"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    ]


def test_the_example_says_what_it_says() -> None:
    kept = nbformat.read(DOCS / "example.ipynb", as_version=4)
    executed = nbformat.read(DOCS / "example.ipynb", as_version=4)
    nbclient.NotebookClient(executed, timeout=120, resources={"metadata": {"path": DOCS}}).execute()
    assert plain(executed) == plain(kept)
    drawn = [
        output["data"] for cell in executed.cells for output in cell.get("outputs", []) if "data" in output
    ]
    assert sum("image/svg+xml" in data for data in drawn) == 3
    nbformat.validate(kept)


def test_the_example_is_small() -> None:
    assert (DOCS / "example.tif.parquet").stat().st_size < 100_000
    assert (DOCS / "example.ipynb").stat().st_size < 100_000


def test_the_bits(mixed: tifbpf.Recordings) -> None:
    drawing = mixed.plot.bits(width=500)
    assert drawing.spec["width"] == 500
    assert [
        (line["bit"], line["present"], line["trigger"], line["sole"])
        for line in drawing.spec["datasets"]["rows"]
        if line["trigger"]
    ] == [
        ("SIGPENDING", 107, 107, 100),
        ("NEED_RESCHED", 18, 18, 0),
        ("NEED_RESCHED_LAZY", 11, 11, 0),
        ("PATCH_PENDING", 3, 3, 3),
        ("NOTIFY_RESUME", 2, 2, 0),
        ("work:SYSCALL_TRACE", 2, 2, 0),
    ]
    assert repr(drawing).startswith("<Drawing: Bits that triggered. SIGPENDING: 88.4 % of slow exits;")


def test_the_words(mixed: tifbpf.Recordings) -> None:
    lines = mixed.plot.words().spec["datasets"]["rows"]
    assert [(line["word"], line["slow"]) for line in lines] == [
        ("syscall: SIGPENDING", 100),
        ("syscall: NEED_RESCHED | NEED_RESCHED_LAZY", 11),
        ("syscall: SIGPENDING | NEED_RESCHED", 5),
        ("syscall: PATCH_PENDING", 3),
        ("syscall: NOTIFY_RESUME | SIGPENDING | NEED_RESCHED | work:SYSCALL_TRACE", 2),
    ]
    assert lines[0]["label"] == "82.6 % of slow exits"


def test_the_timeline_and_the_pairs(mixed: tifbpf.Recordings) -> None:
    lines = mixed.plot.timeline().spec["datasets"]["rows"]
    assert {line["bit"]: line["v"] for line in lines if line["v"] is not None}["any bit"] == pytest.approx(
        100 * 121 / 1137
    )
    pairs = mixed.plot.pairs().spec["datasets"]["rows"]
    assert {line["share"] for line in pairs if line["label"] == "88"} == {107 / 121}


@pytest.mark.parametrize("name", ["bits", "words", "timeline", "pairs"])
def test_every_chart_is_drawn(mixed: tifbpf.Recordings, name: str) -> None:
    svg = getattr(mixed.plot, name)()._repr_svg_()
    assert svg.startswith("<svg")
    assert "http" not in svg.replace("http://www.w3.org/", "")


def test_a_drawing_is_saved(mixed: tifbpf.Recordings, tmp_path: Path) -> None:
    drawing = mixed.plot.bits()
    drawing.save(tmp_path / "bits.svg")
    drawing.save(tmp_path / "bits.png")
    assert (tmp_path / "bits.svg").read_text() == drawing.svg()
    assert (tmp_path / "bits.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(OutputExistsError, match="exists"):
        drawing.save(tmp_path / "bits.svg")
    with pytest.raises(TifbpfError, match=r"\.svg or \.png"):
        drawing.save(tmp_path / "bits.pdf")


def test_nothing_to_draw_is_said(tmp_path: Path) -> None:
    fast = tifbpf.read(write(tmp_path / "fast.tif.parquet", [row(0, 10)]))
    for name, reason in [
        ("words", "no exit was slow"),
        ("pairs", "fewer than two bits triggered"),
        ("times", "--latency"),
    ]:
        with pytest.raises(TifbpfError, match=reason):
            getattr(fast.plot, name)()


def test_without_the_library(mixed: tifbpf.Recordings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    vega._converter.cache_clear()
    drawing = mixed.plot.bits()
    with pytest.raises(NoExtraError, match="pip install"):
        drawing.svg()


def test_the_table_says_what_is_not_known(tmp_path: Path) -> None:
    page = tifbpf.read(write(tmp_path / "a.tif.parquet", [row(2, 3), row(0, 97)]))._repr_html_()
    assert "3 of 100 exits were slow: 3.00 %" in page
    assert page.count("<td>not known</td>") == 10  # five columns of two contexts that were not covered
    assert "NA" not in page


def test_hostile_names_are_harmless_in_the_table(tmp_path: Path) -> None:
    contexts = (
        covered(Context.SYSCALL, perturbs=HOSTILE),
        uncovered(Context.INTERRUPT, HOSTILE),
        uncovered(Context.EXCEPTION),
    )
    host = Host(name=HOSTILE, cpus=2)
    recordings = tifbpf.read(write(tmp_path / "a.tif.parquet", [row(2, 3)], host=host, contexts=contexts))
    page = recordings._repr_html_()
    assert "<script" not in page
    assert "\x1b" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "\x1b" not in repr(recordings)


def test_reading_imports_no_chart() -> None:
    script = (
        "import sys, tifbpf; tifbpf.read(sys.argv[1]).bits(); "
        "print([name for name in ('vl_convert', 'jinja2', 'tifbpf.reporters') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, DOCS / "example.tif.parquet"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
