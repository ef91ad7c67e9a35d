"""A place for one recorder: a directory and an environment of its own, of which nothing may be left."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import tifbpf
from tests.left import Leavings
from tifbpf.recording.metadata import Totals
from tifbpf.recording.place import segments_directory

TIFBPF = (sys.executable, "-c", "from tifbpf.cli import main; main()")
BEGUN = "tifbpf: recording\n"


class Stand:
    """One recorder's place."""

    def __init__(self, directory: Path) -> None:
        """Look at what is there before."""
        self.directory = directory
        self.output = directory / "x.tif.parquet"
        self._leavings = Leavings(directory)
        self._scratch = directory / "scratch"
        self._scratch.mkdir()
        self._started: list[subprocess.Popen[str]] = []
        self.environment = {**self._leavings.environment, "TMPDIR": str(self._scratch)}

    @property
    def segments(self) -> Path:
        """Where the recording is until it is complete."""
        return segments_directory(self.output)

    def start(self, command: Sequence[str | Path], **given: object) -> subprocess.Popen[str]:
        """Start a program in this environment; it is killed at the end, should it live so long."""
        process = subprocess.Popen(  # type: ignore[call-overload]
            [str(word) for word in command],
            env=self.environment,
            text=True,
            **{"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, **given},
        )
        self._started.append(process)
        return process

    def recorder(self, *arguments: str | Path, within: Sequence[str] = (), wait: bool = True) -> Recorder:
        """Start `tifbpf record -o OUTPUT ARGUMENTS`, as an argument of the program `within`."""
        command = [*within, *TIFBPF, "record", "-o", self.output, *arguments]
        recorder = Recorder(self.start(command))
        if wait:
            recorder.wait_until_it_records()
        return recorder

    def trace(self, recorder: Recorder, file: Path, calls: str, *more: str) -> None:
        """Have strace see these system calls of a recorder, and do what `more` says; return once it does."""
        strace = ["strace", "-qq", "-ttt", "-o", file, "-e", f"trace={calls}", *more, "-p", str(recorder.pid)]
        tracer = self.start(strace)
        status = Path(f"/proc/{recorder.pid}/status")
        while f"TracerPid:\t{tracer.pid}\n" not in status.read_text():
            assert tracer.poll() is None, "strace ended"
            time.sleep(0.005)

    def run(self, *arguments: str | Path, code: int = 0, within: Sequence[str] = ()) -> str:
        """Run tifbpf to its end; return what it said.

        Raises:
            AssertionError: the exit code is not `code`.
        """
        process = self.start([*within, *TIFBPF, *arguments], stdout=subprocess.PIPE)
        out, said = process.communicate(timeout=600)
        assert process.returncode == code, f"exit code {process.returncode}: {out}{said}"
        return out + said

    def totals(self) -> Totals:
        """Return the recording's totals, which its reader compares with its rows; seen = recorded + lost."""
        (metadata,) = tifbpf.read(self.output).metadata
        totals = metadata.totals
        assert totals.seen == totals.recorded + totals.losses.total, totals
        return totals

    def end(self, *kept: Path) -> None:
        """End whatever runs, and fail if anything but the files `kept` is left."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
        with contextlib.suppress(OSError):
            self._scratch.rmdir()
        self._leavings.check(*kept)


class Recorder:
    """A `tifbpf record` that runs beside."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Take a process that was started."""
        self.process = process
        self.pid = process.pid

    def wait_until_it_records(self) -> None:
        """Return when exits count.

        Raises:
            AssertionError: it ended before.
        """
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        assert line == BEGUN, line + self.process.stderr.read()

    def end(self, number: signal.Signals | None = signal.SIGINT) -> tuple[int, str]:
        """Send a signal, if one is given; return its exit code and what it said last."""
        if number is not None:
            self.process.send_signal(number)
        _, said = self.process.communicate(timeout=120)
        return self.process.returncode, said


def one_line(said: str) -> str:
    """Return the one line that was said.

    Raises:
        AssertionError: it is not one, or no error of ours.
    """
    assert said.count("\n") == 1, said
    assert said.startswith("tifbpf: "), said
    return said.strip()


@contextlib.contextmanager
def stand(directory: Path) -> Iterator[Stand]:
    """Give a place; what is in it at the end, but for the recording, counts as left behind."""
    with_ = Stand(directory)
    try:
        yield with_
    finally:
        with_.end(with_.output, with_.segments)
