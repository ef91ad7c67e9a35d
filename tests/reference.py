"""What is made from the code: docs/commands.md, the route tables, the report's schema (`make docs`)."""

from __future__ import annotations

import ast
import itertools
import os
import subprocess
import sys
from pathlib import Path

from tifbpf.cli.app import app
from tifbpf.errors import ExitCode
from tifbpf.reporters import json as report_json
from tifbpf.routes import page as routes_page
from tifbpf.routes import setters_page

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "commands.md"

HEAD = """# Commands

Made by `make docs` from the commands' own help; a test keeps it so. Examples with their output: README.md.
"""


def help_of(*command: str) -> str:
    """Return what `tifbpf COMMAND --help` prints at 90 columns."""
    done = subprocess.run(
        [sys.executable, "-c", "from tifbpf.cli import main; main()", *command, "--help"],
        env={**os.environ, "COLUMNS": "90", "TERMINAL_WIDTH": "90", "NO_COLOR": "1"},
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
    parts = [HEAD, f"```\n{help_of()}\n```"]
    parts += [f"## tifbpf {name}\n\n```\n{help_of(name)}\n```" for name in commands()]
    rows = "\n".join(f"| {code} | {meaning} |" for code, meaning in exit_codes())
    parts.append(f"## Exit codes\n\n| code | meaning |\n|---|---|\n{rows}")
    return "\n\n".join(part.strip() for part in parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
    routes = ROOT / "docs" / "routes.md"
    routes.write_text(routes_page.update(routes.read_text()))
    setters = ROOT / "docs" / "setters.md"
    setters.write_text(setters_page.update(setters.read_text()))
    (ROOT / "reports" / "report.schema.json").write_text(report_json.schema())
