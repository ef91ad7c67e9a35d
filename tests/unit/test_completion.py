"""Completion in the shells themselves: what is typed before Tab, and what the line is then."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest

PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
TAB_AND_SHOW = b"\t\x18"
RECORDING = "exits.tif.parquet"

# Ctrl-X writes the line as it is then, and leaves.
BASH = r"""
source <(tifbpf --show-completion)
bind -x '"\C-x": printf %s "$READLINE_LINE" > line; exit'
"""
ZSH = r"""
autoload -Uz compinit; compinit -u -D
source <(tifbpf --show-completion)
show() { print -rn -- "$BUFFER" > line; exit }
zle -N show; bindkey '^X' show
"""
LINES = [
    ("tifbpf repo", "tifbpf report "),
    ("tifbpf report --mark", "tifbpf report --markdown "),
    ("tifbpf report exi", f"tifbpf report {RECORDING} "),
    ("tifbpf record --by syscall,cg", "tifbpf record --by syscall,cgroup "),
    ("tifbpf record --route irq-", "tifbpf record --route irq-return "),
    ("tifbpf stat --syscall getpi", "tifbpf stat --syscall getpid "),
    ("tifbpf exercise notify-s", "tifbpf exercise notify-signal "),
    ("tifbpf decode 0x4 --kernel 6.1-", "tifbpf decode 0x4 --kernel 6.1-rt "),
    ("tifbpf decode 0x4 --context i", "tifbpf decode 0x4 --context interrupt "),
    ("tifbpf top --view pr", "tifbpf top --view processes "),
]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / RECORDING).touch()
    (tmp_path / ".bashrc").write_text(BASH)
    (tmp_path / ".zshrc").write_text(ZSH)
    return tmp_path


def environment(home: Path) -> dict[str, str]:
    return {"PATH": PATH, "HOME": str(home), "ZDOTDIR": str(home), "TERM": "dumb", "LANG": "C.UTF-8"}


def typed(home: Path, shell: list[str], keys: bytes) -> str:
    """Return the line that `shell` writes into the file `line` after `keys`."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(home)
        os.execvpe(shell[0], shell, environment(home))  # noqa: S606 (it is one)
    os.write(terminal, keys)
    said = b""
    try:
        while select.select([terminal], [], [], 60)[0] and (more := os.read(terminal, 4096)):
            said += more
    except OSError:
        pass  # EIO: the shell has gone.
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)
    line = home / "line"
    assert line.exists(), said
    return line.read_text()


@pytest.mark.parametrize(("before", "after"), LINES, ids=[before for before, _ in LINES])
def test_bash(home: Path, before: str, after: str) -> None:
    assert typed(home, ["bash", "-i"], before.encode() + TAB_AND_SHOW) == after


@pytest.mark.requires("zsh")
@pytest.mark.parametrize(("before", "after"), LINES[:4], ids=[before for before, _ in LINES[:4]])
def test_zsh(home: Path, before: str, after: str) -> None:
    assert typed(home, ["zsh", "-i"], before.encode() + TAB_AND_SHOW) == after


@pytest.mark.requires("fish")
def test_fish(home: Path) -> None:
    script = home / "ask.fish"
    script.write_text(
        "\n".join(
            [
                "tifbpf --show-completion | source",
                "complete -C 'tifbpf exer'",
                "complete -C 'tifbpf record --by syscall,c'",
                "complete -C 'tifbpf report exi'",
            ]
        )
    )
    done = subprocess.run(
        ["fish", "--no-config", script],
        cwd=home,
        env=environment(home),
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.partition("\t")[0] for line in done.stdout.splitlines()] == [
        "exercise",
        "syscall,cgroup",
        "syscall,comm",
        "syscall,cpu",
        RECORDING,
    ]


def test_what_a_process_chose_as_its_name_is_not_given_to_the_shell(home: Path) -> None:
    done = subprocess.run(
        ["tifbpf"],
        env={
            **environment(home),
            "_TIFBPF_COMPLETE": "complete_bash",
            "COMP_WORDS": "tifbpf record --comm ",
            "COMP_CWORD": "3",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout.strip(), done.stderr) == ("", "")


def from_bash(home: Path, command: str) -> subprocess.CompletedProcess[str]:
    # A command after it: bash would otherwise become tifbpf, and be no shell that could be found out.
    return subprocess.run(
        ["bash", "-c", f"{command}; exit $?"],
        env=environment(home),
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_installs_itself(tmp_path: Path) -> None:
    done = from_bash(tmp_path, "tifbpf --install-completion")
    assert (done.returncode, done.stderr) == (0, "")
    script = tmp_path / ".bash_completions" / "tifbpf.sh"
    assert "complete -o default -F _tifbpf_completion tifbpf" in script.read_text()
    assert f"source '{script}'" in (tmp_path / ".bashrc").read_text()


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / ".bash_completions").touch()
    done = from_bash(tmp_path, "tifbpf --install-completion")
    assert (done.returncode, done.stdout) == (14, "")
    assert done.stderr.count("\n") == 1
    assert "--show-completion" in done.stderr
