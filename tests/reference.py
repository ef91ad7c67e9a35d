"""What is made from the code: docs/commands.md, docs/masks.md, the route tables, schemas (`make docs`)."""

from __future__ import annotations

import ast
import itertools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests import masks_page
from tifbpf.cli.app import app
from tifbpf.errors import ExitCode
from tifbpf.reporters import json as report_json
from tifbpf.reporters.diff_schema import Diff
from tifbpf.routes import page as routes_page
from tifbpf.routes import setters_page

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "commands.md"
MANUAL_SOURCE = ROOT / "docs" / "man.md"
MANUAL = ROOT / "docs" / "tifbpf.1"

HEAD = """# Commands

Made by `make docs` from the commands' own help; a test keeps it so. Examples with their output: README.md.
"""

CODES_BEGIN = "<!-- begin exit codes: make docs -->"
CODES_END = "<!-- end exit codes -->"


def help_of(*command: str) -> str:
    """Return what `tifbpf COMMAND --help` prints at 72 columns: it fits a manual page, which indents it."""
    done = subprocess.run(
        [sys.executable, "-c", "from tifbpf.cli import main; main()", *command, "--help"],
        env={**os.environ, "COLUMNS": "72", "TERMINAL_WIDTH": "72", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.rstrip()


def exit_codes() -> list[tuple[int, str]]:
    """Return number and meaning of every exit code, from the strings below the members of `ExitCode`."""
    tree = ast.parse((ROOT / "tifbpf" / "errors.py").read_text())
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "ExitCode")
    found = []
    for member, meaning in itertools.pairwise(body):
        if isinstance(member, ast.Assign) and isinstance(member.targets[0], ast.Name):
            text = ""
            if isinstance(meaning, ast.Expr) and isinstance(meaning.value, ast.Constant):
                text = str(meaning.value.value)
            found.append((int(ExitCode[member.targets[0].id]), text or "Success."))
    return found


def commands() -> list[str]:
    """Return the names of all commands."""
    return [str(command.name) for command in app.registered_commands]


def page() -> str:
    """Return the whole page."""
    parts = [HEAD, "<!-- begin commands -->", f"```\n{help_of()}\n```"]
    parts += [f"## tifbpf {name}\n\n```\n{help_of(name)}\n```" for name in commands()]
    rows = "\n".join(f"| {code} | {meaning} |" for code, meaning in exit_codes())
    parts += ["<!-- end commands -->", f"## Exit codes\n\n| code | meaning |\n|---|---|\n{rows}"]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def manual_source() -> str:
    """Return docs/man.md with the exit codes as they are."""
    text = MANUAL_SOURCE.read_text()
    before, _, rest = text.partition(CODES_BEGIN)
    _, _, after = rest.partition(CODES_END)
    codes = "\n\n".join(f"{code}\n: {meaning}" for code, meaning in exit_codes())
    return f"{before}{CODES_BEGIN}\n\n{codes}\n\n{CODES_END}{after}"


def manual() -> str:
    """Return the manual page, from docs/man.md."""
    from sphinx.application import Sphinx

    with tempfile.TemporaryDirectory() as build:
        Sphinx(
            srcdir=PAGE.parent,
            confdir=PAGE.parent,
            outdir=build,
            doctreedir=Path(build, "doctrees"),
            buildername="man",
            confoverrides={"include_patterns": ["man.md"], "root_doc": "man"},
            status=None,
            warningiserror=True,
        ).build()
        return Path(build, MANUAL.name).read_text()


if __name__ == "__main__":
    PAGE.write_text(page())
    MANUAL_SOURCE.write_text(manual_source())
    MANUAL.write_text(manual())
    masks_page.PAGE.write_text(masks_page.update(masks_page.PAGE.read_text()))
    routes = ROOT / "docs" / "routes.md"
    routes.write_text(routes_page.update(routes.read_text()))
    setters = ROOT / "docs" / "setters.md"
    setters.write_text(setters_page.update(setters.read_text()))
    (ROOT / "reports" / "report.schema.json").write_text(report_json.schema())
    (ROOT / "reports" / "diff.schema.json").write_text(report_json.schema(Diff))
