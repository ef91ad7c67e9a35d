"""How the command line behaves among others: pipes, full disks, colours, quiet and verbose, help texts."""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import typer

from tests import reference
from tests.unit.recordings import row, write
from tifbpf.cli.app import app

TIFBPF = [sys.executable, "-c", "from tifbpf.cli import main; main()"]
ESCAPE = "\x1b"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return write(tmp_path / "exits.tif.parquet", [row(0x2, 3), row(0, 97)])


def run(*arguments: str | Path, **given: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [*TIFBPF, *map(str, arguments)], **{"capture_output": True, "text": True, "check": False, **given}
    )


def shell(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a bash script in which `"$@"` is tifbpf with its arguments."""
    return subprocess.run(
        ["bash", "-c", script, "bash", *TIFBPF, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments", [("report", "FILE"), ("report", "--json", "FILE"), ("masks", "--history")]
)
def test_a_reader_who_has_seen_enough(recording: Path, arguments: tuple[str, ...]) -> None:
    given = [recording if argument == "FILE" else argument for argument in arguments]
    # The pipe has gone before anything is written.
    done = shell('{ sleep 0.1; "$@"; echo "exit code $?" >&2; } | true', *given)
    assert done.stderr == "exit code 0\n"


def test_the_first_line_of_many(recording: Path) -> None:
    done = shell('"$@" | head -1; echo "${PIPESTATUS[0]}"', "report", recording)
    assert done.stdout == "tifbpf: web1, Linux 6.18.44-amd64, 10.0 s\n0\n"
    assert done.stderr == ""


@pytest.mark.parametrize("arguments", [("report", "FILE"), ("report", "--csv", "FILE"), ("--help",)])
def test_a_full_disk(recording: Path, arguments: tuple[str, ...]) -> None:
    given = [recording if argument == "FILE" else argument for argument in arguments]
    done = shell('"$@" > /dev/full', *given)
    assert done.returncode == 14
    assert done.stderr == "tifbpf: the output cannot be written: No space left on device\n"


def test_no_output_at_all(recording: Path) -> None:
    done = shell('"$@" >&-', "report", recording)
    assert (done.returncode, done.stderr) == (0, "")
    assert shell('"$@" >&- 2>&-', "report", "no such file").returncode == 15


def on_a_terminal(*arguments: str | Path, environment: Mapping[str, str]) -> str:
    """Return what is printed to a terminal of 100 columns."""
    ours, theirs = pty.openpty()
    done = subprocess.Popen(
        [*TIFBPF, *map(str, arguments)],
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", **environment},
    )
    os.close(theirs)
    said = b""
    try:
        while more := os.read(ours, 4096):
            said += more
    except OSError:
        pass  # EIO: the other end has gone.
    os.close(ours)
    assert done.wait() == 0
    return said.decode()


def test_colours_are_for_terminals_that_want_them(recording: Path) -> None:
    assert ESCAPE in on_a_terminal("report", recording, environment={})
    plain = on_a_terminal("report", recording, environment={"NO_COLOR": "1"})
    # Bold and dim are no colours; of those there is none.
    assert not re.search(rf"{ESCAPE}\[[0-9;]*(3[0-9]|4[0-9]|9[0-7])[;m]", plain)
    assert ESCAPE not in on_a_terminal("report", recording, environment={"TERM": "dumb"})
    assert ESCAPE not in run("report", recording).stdout


def test_a_pipe_gets_whole_lines(recording: Path) -> None:
    narrow = run("report", recording, env={**os.environ, "COLUMNS": "60"}).stdout
    wide = run("report", recording, env={**os.environ, "COLUMNS": "118"}).stdout
    assert max(map(len, narrow.splitlines())) <= 60
    assert 60 < max(map(len, wide.splitlines())) <= 118
    assert "…" not in narrow + wide
    # Nothing is cut away where it is narrow.
    assert " ".join(wide.split()).count("SIGPENDING") == " ".join(narrow.split()).count("SIGPENDING")


def test_a_quiet_report(recording: Path, tmp_path: Path) -> None:
    done = run("report", "-q", recording)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = run("report", "-q", tmp_path / "none.tif.parquet")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (15, "", 1)
    assert "seen" in run("report", "-q", "--json", recording).stdout


def test_a_quiet_report_says_what_was_not_to_be_there(recording: Path) -> None:
    met = run("report", "-q", "--fail-on", "context == syscall and bit == SIGPENDING", recording)
    assert (met.returncode, met.stdout) == (31, "")
    assert "SIGPENDING" in met.stderr
    absent = run("report", "-q", "--fail-on", "context == syscall and bit == NOTIFY_SIGNAL", recording)
    assert (absent.returncode, absent.stdout, absent.stderr) == (0, "", "")


def test_a_verbose_report(recording: Path) -> None:
    done = run("report", "-v", "--csv", recording)
    assert done.stderr == (
        f"tifbpf: read {recording}: 2 rows, 100 exits in 10.0 s on Linux 6.18.44-amd64, complete, "
        "written by tifbpf 0.1.0\n"
    )
    assert done.stdout == run("report", "--csv", recording).stdout


def test_quiet_and_verbose_exclude_each_other(recording: Path) -> None:
    for command in (["report", str(recording)], ["record", "-d", "1"]):
        done = run(command[0], "-q", "-v", *command[1:])
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "not both" in done.stderr


def test_a_quiet_exercise() -> None:
    done = run("exercise", "-q", "signal", "-n", "3")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def examples_of(command: str) -> list[str]:
    """Return the examples at the end of a command's help."""
    _, found, after = reference.help_of(*([command] if command else [])).rpartition("\n  Example")
    assert found, f"tifbpf {command} --help ends without an example"
    return [line.strip() for line in after.splitlines()[1:]]


@pytest.mark.parametrize("command", ["", *reference.commands()])
def test_every_help_ends_with_examples_that_are_commands(command: str) -> None:
    group = typer.main.get_command(app)
    lines = examples_of(command)
    assert 1 <= len(lines) <= 2
    assert all(f"tifbpf {command}" in line for line in lines)
    for line in lines:
        for part in line.split("&&"):
            words = shlex.split(part.removeprefix("sudo "))
            assert words[0] == "tifbpf"
            # Parses; does nothing. A wrong option would raise.
            group.commands[words[1]].make_context(words[1], words[2:])  # type: ignore[attr-defined]


def test_version() -> None:
    done = run("--version")
    assert re.fullmatch(r"tifbpf \d+\.\d+\.\d+\n", done.stdout)
