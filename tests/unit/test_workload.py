from __future__ import annotations

import os
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from tifbpf.errors import CommandNotExecutableError, CommandNotFoundError, ExitCode
from tifbpf.recorder import workload
from tifbpf.recorder.workload import Workload


def ended(child: Workload) -> int:
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    code = child.exit_code()
    assert code is not None
    child.stop()
    return code


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)]
)
def test_the_exit_code_is_a_shells(script: str, code: int) -> None:
    child = Workload(["sh", "-c", script])
    child.start()
    assert ended(child) == code


def test_nothing_runs_before_start(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    child = Workload(["touch", str(mark)])
    child.stop()
    assert not mark.exists()


def test_a_running_command_is_ended() -> None:
    child = Workload(["sleep", "1000"])
    child.start()
    assert child.exit_code() is None
    child.stop()
    assert child.exit_code() == 128 + signal.SIGTERM


def test_a_command_meets_signals_as_it_would_without_us(tmp_path: Path) -> None:
    # Not simply none ignored: nohup and the background of a shell ignore some before we start.
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    signals = "exec grep -E '^Sig(Ign|Blk):' /proc/self/status >"
    subprocess.run(["sh", "-c", f"{signals} {theirs}"], check=True)
    child = Workload(["sh", "-c", f"{signals} {ours}"])
    child.start()
    assert ended(child) == 0
    assert ours.read_text() == theirs.read_text() != ""


def test_a_missing_command_is_told_before_anything_starts() -> None:
    with pytest.raises(CommandNotFoundError) as error:
        workload.find(["no-such-command-of-ours"])
    assert str(error.value) == "no-such-command-of-ours: no such command; check the words after --"
    assert error.value.exit_code == ExitCode.COMMAND_NOT_FOUND == 127


def test_a_file_that_is_no_program_is_told(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("words")
    with pytest.raises(CommandNotExecutableError) as error:
        workload.find([str(plain)])
    assert error.value.exit_code == ExitCode.COMMAND_NOT_EXECUTABLE == 126
    plain.chmod(plain.stat().st_mode | stat.S_IXUSR)
    workload.find([str(plain)])
    child = Workload([str(plain)])
    with pytest.raises(CommandNotExecutableError, match="Exec format error"):
        child.start()
    child.stop()
