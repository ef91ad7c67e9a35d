"""`tifbpf report --html` where people open it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tifbpf
from tests.browser.conftest import Browser
from tests.unit.recordings import SECOND_NS, START_NS, row, write
from tests.unit.test_analysis import MIXED, timed
from tests.unit.test_reporters import HOSTILE, full
from tifbpf.reporters import html

pytestmark = pytest.mark.requires("browser")

STEPS = 30
NAMES = ("bash", "cc1", "make", "ld", "sshd", "cron", "dd", "xz", "git", "awk", "sed", "tar")


def rows() -> list[dict[str, Any]]:
    found = []
    for step in range(STEPS):
        at = {"time": START_NS + step * SECOND_NS}
        found += [{**line, **at, "count": line["count"] * (1 + step % 3)} for line in MIXED]
        found += [row(0x1, 3 + place, comm=name, **at) for place, name in enumerate(NAMES)]
        found += [timed(0x2, 10, 4, 4 * 1500, 2000, comm="bash", **at)]
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("page")
    recording = write(
        directory / "a.tif.parquet", rows(), dimensions=("comm",), duration_ns=STEPS * SECOND_NS
    )
    path = directory / "report.html"
    path.write_text(html.within(tifbpf.read(recording)))
    return path


def column(browser: Browser, caption: str, number: int) -> list[str]:
    """What a column of the table shows, top to bottom, without hidden rows."""
    found = browser.run(
        """const table = [...document.querySelectorAll("table")].find(
             (table) => table.caption.textContent.startsWith(arguments[0]));
           return [...table.tBodies[0].rows].filter((row) => row.offsetParent !== null)
             .map((row) => row.cells[arguments[1]].textContent.trim());""",
        caption,
        number,
    )
    assert isinstance(found, list)
    return found


def press(browser: Browser, selector: str) -> None:
    from selenium.webdriver.common.by import By

    browser.driver.find_element(By.CSS_SELECTOR, selector).click()


def head(browser: Browser, caption: str, name: str) -> Any:
    """The button in the head of a table's column."""
    return browser.run(
        """const table = [...document.querySelectorAll("table")].find(
             (table) => table.caption.textContent.startsWith(arguments[0]));
           return [...table.tHead.querySelectorAll("button")].find(
             (button) => button.textContent === arguments[1]);""",
        caption,
        name,
    )


def test_it_says_nothing_and_asks_for_nothing(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.said() == []
    assert browser.asked_for() == [page.as_uri()]


def test_the_policy_holds(browser: Browser, page: Path) -> None:
    """What got past the escaping all the same could do nothing."""
    browser.open(page)
    browser.run(
        """const script = document.createElement("script");
           script.textContent = "window.hit = 1";
           document.body.append(script);
           const image = document.createElement("img");
           image.src = "https://example.invalid/x.png";
           document.body.append(image);"""
    )
    browser.until("return true")
    assert browser.run("return window.hit") is None
    refused = browser.said()
    assert sum("Content Security Policy" in line for line in refused) == 2
    assert browser.asked_for()[0] == page.as_uri()


@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_is_wider_than_the_window(browser: Browser, page: Path, width: int) -> None:
    browser.open(page, width=width)
    assert browser.run("return document.documentElement.scrollWidth") <= width
    assert (
        browser.run(
            "return [...document.querySelectorAll('figure svg.chart, .live svg')].filter("
            "(chart) => chart.getBoundingClientRect().width > 100).length"
        )
        == 4
    )
    assert browser.said() == []


def test_charts_have_names_and_letters_of_a_readable_size(browser: Browser, page: Path) -> None:
    for width in (1280, 400):
        browser.open(page, width=width)
        names = browser.roles("image")
        for start in (
            "Bits that triggered.",
            "Bits that triggered together",
            "Time in the slowpath by word.",
        ):
            assert any(name.startswith(start) for name in names), names
        smallest = browser.run(
            """return Math.min(...[...document.querySelectorAll("figure svg text")]
                 .filter((text) => text.textContent && text.getBoundingClientRect().height > 0)
                 .map((text) => text.getBoundingClientRect().height));"""
        )
        assert smallest >= 9


def test_a_table_is_sorted_by_value_either_way(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert column(browser, "Threads by name", 0)[:2] == ["bash", "make"]
    head(browser, "Threads by name", "exits").click()
    exits = [int(text.replace(",", "")) for text in column(browser, "Threads by name", 1)]
    assert exits == sorted(exits, reverse=True)
    assert exits[0] > 1000 > exits[-1], "as text 1,137 would come after 99"
    head(browser, "Threads by name", "exits").click()
    assert [int(text.replace(",", "")) for text in column(browser, "Threads by name", 1)] == exits[::-1]
    head(browser, "Threads by name", "comm").click()
    names = column(browser, "Threads by name", 0)
    assert names == sorted(names)
    sorts = browser.run(
        "return [...document.querySelectorAll('th[aria-sort]')].map((head) => head.textContent)"
    )
    assert sorts == ["comm"]


def test_a_table_is_searched(browser: Browser, page: Path) -> None:
    from selenium.webdriver.common.by import By

    browser.open(page)
    field = browser.driver.find_element(By.CSS_SELECTOR, "input[aria-label='Search: Threads by name']")
    field.send_keys("SH")
    assert column(browser, "Threads by name", 0) == ["bash", "sshd"]
    field.send_keys(" notify")
    assert column(browser, "Threads by name", 0) == ["sshd"]
    field.clear()
    field.send_keys("nobody")
    assert column(browser, "Threads by name", 0) == []


def shown(browser: Browser) -> tuple[int, int]:
    found = browser.run(
        "const {from, to} = document.querySelector('figure[data-live]').dataset; return [from, to]"
    )
    return int(found[0]), int(found[1])


def ticks(browser: Browser) -> list[str]:
    found = browser.run(
        "return [...document.querySelectorAll('.live .role-axis-label text')].map((text) => text.textContent)"
    )
    return sorted(found)


def test_the_timeline_is_zoomed_by_buttons_and_keys(browser: Browser, page: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.open(page)
    start = START_NS // 10**6
    assert shown(browser) == (start, start + STEPS * 1000)
    before = ticks(browser)
    press(browser, ".zoom button:nth-child(1)")
    browser.until(
        "return document.querySelector('figure[data-live]').dataset.to - "
        "document.querySelector('figure[data-live]').dataset.from === 15000"
    )
    assert ticks(browser) != before
    stage = browser.run("return document.querySelector('.live')")
    stage.send_keys(Keys.ARROW_LEFT)
    browser.until(
        f"return Number(document.querySelector('figure[data-live]').dataset.from) === {start + 3750}"
    )
    stage.send_keys("0")
    browser.until(f"return Number(document.querySelector('figure[data-live]').dataset.from) === {start}")
    assert ticks(browser) == before
    assert browser.said() == []


def test_the_timeline_is_dragged(browser: Browser, page: Path) -> None:
    from selenium.webdriver import ActionChains

    browser.open(page)
    press(browser, ".zoom button:nth-child(1)")
    first, _ = shown(browser)
    stage = browser.run("return document.querySelector('.live svg')")
    ActionChains(browser.driver).drag_and_drop_by_offset(stage, 120, 0).perform()
    browser.until(f"return Number(document.querySelector('figure[data-live]').dataset.from) < {first}")


def test_everything_is_there_with_scripts_off(browser: Browser, page: Path) -> None:
    browser.open(page, scripts=False)
    text = browser.text().replace("\N{NO-BREAK SPACE}", " ")
    report = tifbpf.read(page.with_name("a.tif.parquet"))
    total = report.frequency().loc["syscall"]
    for figure in (f"{total['exits']:,}", f"{total['slow']:,}", *NAMES):
        assert figure in text
    for _, line in report.bits().iterrows():
        if line["trigger"] and not line.isna()["trigger"]:
            assert f"{line['trigger']:,}" in text
    names = browser.roles("image")
    for start in (
        "Bits that triggered.",
        "Bits that triggered together",
        "Slow exits over time",
        "Time in the",
    ):
        assert any(name.startswith(start) for name in names), names
    # Nothing offers what cannot work.
    assert browser.roles("searchbox") == []
    assert browser.roles("button") == []
    assert browser.said() == []


def test_light_dark_and_paper(browser: Browser, page: Path) -> None:
    colour = "return getComputedStyle(document.body).backgroundColor"
    browser.open(page)
    assert browser.run(colour) == "rgb(253, 253, 252)"
    browser.open(page, dark=True)
    assert browser.run(colour) == "rgb(20, 23, 26)"
    drawn = "return getComputedStyle(document.querySelector('figure .wide text')).fill"
    assert browser.run(drawn) != "rgb(0, 0, 0)", "a chart's letters follow the scheme"
    browser.command("Emulation.setEmulatedMedia", media="print", features=[])
    assert browser.run(colour) == "rgb(253, 253, 252)"
    assert browser.run("return getComputedStyle(document.querySelector('.find')).display") == "none"
    assert browser.command("Page.printToPDF")["data"]
    browser.command("Emulation.setEmulatedMedia", media="", features=[])


def test_keys_reach_everything(browser: Browser, page: Path) -> None:
    browser.open(page)
    unreachable = browser.run(
        """return [...document.querySelectorAll("button, input, a, summary, .scroll, .live")]
             .filter((one) => one.tabIndex < 0).length"""
    )
    assert unreachable == 0
    names = browser.run(
        "return [...document.querySelectorAll('button, input')].map((one) => "
        "one.textContent || one.getAttribute('aria-label'))"
    )
    assert all(names)


def test_hostile_names_do_nothing(browser: Browser, tmp_path: Path) -> None:
    names = [
        *HOSTILE,
        "<img src=x onerror=hit()>",
        "</script><script>hit=1</script>",
        "</style>",
        "{{7*7}}",
        "${x}",
    ]
    lines = [row(0x2, 10 + place, comm=name) for place, name in enumerate(names)]
    recording = write(
        tmp_path / "a.tif.parquet", lines, dimensions=("comm",), command=("tifbpf", "</script><b>", "\x1b[1m")
    )
    path = tmp_path / "report.html"
    path.write_text(html.within(tifbpf.read(recording)))
    browser.open(path)
    assert browser.said() == []
    assert browser.run("return [window.hit, document.images.length, document.scripts.length]") == [None, 0, 1]
    found = column(browser, "Threads by name", 0)
    assert "<img src=x onerror=hit()>" in found
    assert "\\x1b[31mred\\x1b[0m" in found
    assert "two\\nlines" in found
    assert "{{7*7}}" in found


def test_what_is_not_known_is_not_drawn(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(html.render(full(tmp_path)))
    browser.open(path)
    assert browser.said() == []
    assert "unknown" in column(browser, "tifbpf", 1)
    assert "not covered" in column(browser, "tifbpf", 1)
