"""Documentation and commands stay in step, and links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import reference

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def test_the_command_reference_is_what_the_commands_say() -> None:
    assert reference.PAGE.read_text() == reference.page(), "run `make docs`"


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_page_is_in_the_readme(page: Path) -> None:
    if page.name != "README.md":
        assert f"docs/{page.name}" in (ROOT / "README.md").read_text()
