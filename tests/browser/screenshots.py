"""Pictures of a report for the documentation (`make screenshots`)."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import tifbpf
from tests.browser.conftest import chromium
from tifbpf.reporters import html

DOCS = Path(__file__).parents[2] / "docs"


class View(NamedTuple):
    """A part of the page, as it is seen at one width."""

    width: int
    selector: str
    """Where it begins."""
    height: int
    dark: bool = False


VIEWS = {
    "report-1280.png": View(1280, "body", 1400),
    "report-charts-1280.png": View(1280, "#bits", 1000),
    "report-400.png": View(400, "body", 1500, dark=True),
}


def main(recording: Path) -> None:
    """Write all views of the report of `recording`."""
    with tempfile.TemporaryDirectory() as directory, chromium() as browser:
        page = Path(directory) / "report.html"
        page.write_text(html.within(tifbpf.read(recording)))
        for name, view in VIEWS.items():
            browser.open(page, width=view.width, dark=view.dark)
            (DOCS / name).write_bytes(browser.screenshot(view.selector, view.height))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
