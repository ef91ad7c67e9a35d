"""Reads files in a process of its own, which may hang, crash or grow."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec

SECONDS = 10
"""Of CPU time: a machine that is busy makes nothing hang."""
_WAIT = 120
"""Of the clock."""
MEGABYTES = 1024
_FILES = 1000
"""After so many a new process reads: what the files of a stranger leave behind must not show in others."""


class Answer(msgspec.Struct, frozen=True):
    """What came of a file."""

    verdict: str
    """`read`, `refused`, or what must not be: `raised`, `hung`, `crashed`, `contradicted`."""
    said: str = ""
    """The numbers, or the line, or what happened."""
    code: int = 0
    """The exit code of the error."""
    seconds: float = 0
    """Of CPU time."""
    megabytes: int = 0
    """The most that the process took."""


def read(path: Path) -> Answer:
    """Read a file as `tifbpf report --json` does, and once more with Arrow alone."""
    import tifbpf
    from tifbpf.errors import TifbpfError
    from tifbpf.reporters import json as document
    from tifbpf.reporters import model

    try:
        recordings = tifbpf.read([path])
        said = document.render(model.build(recordings, 10))
        for place, found in enumerate(recordings.recordings):
            if (wrong := _contradiction(recordings.loaded.kinds.to_pylist(), place, found)) is not None:
                return Answer("contradicted", wrong)
        return Answer("read", json.dumps(json.loads(said)))
    except TifbpfError as error:
        if not str(error).isprintable() or not str(error):
            return Answer("raised", f"no line: {str(error)!r}")
        return Answer("refused", str(error), error.exit_code)
    except Exception as error:
        return Answer("raised", "".join(traceback.format_exception(error)[-6:]))


def _contradiction(kinds: list[dict[str, Any]], place: int, found: Any) -> str | None:
    """Return where the sums differ from what Arrow reads."""
    import pyarrow as pa

    rows = found.rows
    for key in ("path", "context", "word", "tier", "latency_log2"):
        column = rows[key]
        column = column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
        counts: dict[Any, int] = {}
        for value, count in zip(column.to_pylist(), rows["count"].to_pylist(), strict=True):
            counts[value] = counts.get(value, 0) + count
        sums: dict[Any, int] = {}
        for line in kinds:
            if line["recording"] == place:
                sums[line[key]] = sums.get(line[key], 0) + line["count"]
        if counts != sums:
            return f"by {key}: {sums}, and by Arrow {counts}"
    return None


class Reader:
    """A process that reads one file after the other, started anew when it is gone."""

    def __init__(self, priority: int) -> None:
        self._priority = priority
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None
        self._files = 0
        self.processes = 0

    def read(self, path: Path) -> Answer:
        """Return what comes of a file."""
        if self._process is None or self._files >= _FILES:
            self.close()
            self._start()
        assert self._pipe is not None
        assert self._process is not None
        self._files += 1
        try:
            self._pipe.send(path)
            if not self._answers():
                self._process.kill()
                self.close()
                return Answer("hung", f"after {SECONDS} s")
            answer: Answer = self._pipe.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            code = self._process.exitcode
            self.close()
            return Answer("crashed", f"it ended with {code}")
        if answer.megabytes > MEGABYTES:
            self.close()
        return answer

    def _answers(self) -> bool:
        """Wait for an answer while it may still come."""
        assert self._pipe is not None
        assert self._process is not None
        used, until = _cpu_seconds(self._process.pid), time.monotonic() + _WAIT
        while not self._pipe.poll(0.5):
            if _cpu_seconds(self._process.pid) - used > SECONDS or time.monotonic() > until:
                return False
        return True

    def _start(self) -> None:
        # Not forked of one that has read something: what one file did must not be the next one's.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._priority), daemon=True)
        self._process.start()
        theirs.close()
        self._files = 0
        self.processes += 1
        # Whatever has to be imported is, before the clock runs.
        self._pipe.recv()

    def close(self) -> None:
        """End the process."""
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            self._process.join(1)
            self._process.kill()
            self._process.join()
        self._process = self._pipe = None


@contextmanager
def reader(priority: int = 0) -> Iterator[Reader]:
    """Yield a reader, and end its process."""
    found = Reader(priority)
    try:
        yield found
    finally:
        found.close()


def _cpu_seconds(pid: int | None) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def _serve(pipe: Connection, priority: int) -> None:
    from tests.torture.fuzz import mutations

    os.nice(priority)
    warm = Path(os.environ.get("TMPDIR", "/tmp")) / f"warm-{os.getpid()}.tif.parquet"  # noqa: S108
    warm.write_bytes(mutations.written(12, 1))
    read(warm)
    warm.unlink()
    pipe.send(None)
    while True:
        try:
            path = pipe.recv()
        except EOFError:
            return
        _forget_peak()
        start = time.process_time()
        answer = read(path)
        pipe.send(
            msgspec.structs.replace(
                answer,
                seconds=time.process_time() - start,
                megabytes=_peak(),
            )
        )
