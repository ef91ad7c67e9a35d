"""Documentation and commands stay in step, and links lead somewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from tests import masks_page, reference
from tifbpf import __version__
from tifbpf.cli.app import app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def links_of(page: Path) -> list[Path]:
    """Return the files that a page links to."""
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    return [(page.parent / target).resolve() for target in targets if "://" not in target]


def test_the_command_reference_is_what_the_commands_say() -> None:
    assert reference.PAGE.read_text() == reference.page(), "run `make docs`"


def test_the_audits_are_what_the_data_says() -> None:
    page = masks_page.PAGE.read_text()
    assert page == masks_page.update(page), "run `make docs`"


@pytest.mark.parametrize("command", reference.commands())
def test_the_readme_has_an_example_of_every_command(command: str) -> None:
    shown = re.findall(r"^(?:\$|#) (?:sudo )?tifbpf (\S+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert command in shown


def test_every_example_in_the_readme_is_a_command() -> None:
    shown = re.findall(r"^(?:\$|#) (?:sudo )?tifbpf (\S+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert set(shown) <= {*reference.commands(), "--help", "--version"}


def test_every_exit_code_has_a_meaning() -> None:
    assert all(meaning for _, meaning in reference.exit_codes())
    codes = [code for code, _ in reference.exit_codes()]
    assert len(codes) == len(set(codes)) >= 20


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in links_of(page):
        assert target.exists(), target


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    ahead = [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page not in reached:
            reached.add(page)
            ahead += [target for target in links_of(page) if target.suffix == ".md" and target.exists()]
    assert reached >= set(PAGES)


def commands_in(page: Path) -> list[list[str]]:
    """Return the arguments of our commands that a page shows; not of those with brackets, which say how."""
    text = re.sub(r"\\\n(> )?", "", page.read_text())
    lines = re.findall(r"^(?:[$#]|   ) (?:sudo )?(?:\.venv/bin/)?tifbpf (.*)$", text, re.MULTILINE)
    return [words_of(line) for line in lines if "[" not in line]


def words_of(line: str) -> list[str]:
    """Split a line as a shell does, up to a pipe and the like."""
    words = list(shlex.shlex(line, posix=True, punctuation_chars=True))
    end = next((place for place, word in enumerate(words) if set(word) <= set("|&;<>()")), len(words))
    return words[:end]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_on_pages_are_commands(page: Path) -> None:
    group = typer.main.get_command(app)
    for command, *arguments in commands_in(page):
        if command.startswith("-"):
            continue
        # Parses, and does nothing; what is no option of the command raises.
        group.commands[command].make_context(command, arguments)  # type: ignore[attr-defined]


def test_pages_have_commands() -> None:
    assert sum(len(commands_in(page)) for page in PAGES) > 30


def test_the_pages_are_built_without_a_warning(tmp_path: Path) -> None:
    # A link to a page or a heading that is not there is a warning, and so is a page that is in no table.
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", DOCS, tmp_path / "html"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    for page in DOCS.rglob("*.md"):
        assert (tmp_path / "html" / page.relative_to(DOCS).with_suffix(".html")).is_file()
    listed = (tmp_path / "html" / "classes.html").read_text()
    assert 'id="tifbpf.Recordings.bits"' in listed
    assert 'id="tifbpf.reporters.notebook.Plots.timeline"' in listed


def test_the_manual_page_is_current() -> None:
    assert reference.MANUAL_SOURCE.read_text() == reference.manual_source(), "run `make docs`"
    assert reference.MANUAL.read_text() == reference.manual(), "run `make docs`"


def test_the_manual_page_has_what_a_manual_page_has() -> None:
    text = reference.MANUAL.read_text()
    sections = re.findall(r"^\.SH (.*)$", text, re.MULTILINE)
    assert [section.upper() for section in sections[:-1]] == [
        "NAME",
        "SYNOPSIS",
        "DESCRIPTION",
        "COMMANDS",
        "EXIT STATUS",
        "ENVIRONMENT",
        "FILES",
        "EXAMPLES",
        "SEE ALSO",
    ]
    assert re.findall(r"^\.SS tifbpf (\w+)$", text, re.MULTILINE) == reference.commands()
    assert f'.TH "TIFBPF" "1" " " "{__version__}"' in text
