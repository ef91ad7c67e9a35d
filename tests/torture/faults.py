"""What the recorder writes to, reads from or compiles with fails: one line; what was recorded is kept."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import tifbpf
from tests.capabilities import memory_groups, present
from tests.torture.report import Outcome
from tests.torture.stand import BEGUN, Recorder, Stand, one_line, stand
from tifbpf.errors import ExitCode
from tifbpf.recording.place import segments_directory
from tifbpf.recording.reader import State

CAMPAIGN = "faults"
ROUNDS = 10
_FAST = ("--by", "syscall", "--interval", "0.05")


def wait_for_segments(place: Stand, number: int, recorder: Recorder) -> None:
    """Return when so many are there."""
    while len(list(place.segments.glob("[0-9]*.parquet"))) < number:
        assert recorder.process.poll() is None, recorder.end(None)
        time.sleep(0.01)


def ends_unwritable(place: Stand, recorder: Recorder, *, kept: bool = True) -> str:
    """See to it that a recorder ends by itself with one line, and leaves what it flushed.

    Raises:
        AssertionError: it does not.
    """
    code, said = recorder.end(None)
    assert code == ExitCode.OUTPUT_UNWRITABLE, (code, said)
    if kept:
        reads(place)
    return one_line(said)


def reads(place: Stand) -> None:
    """See to it that the segments read as a recording whose end is missing, and that the report says so."""
    (recording,) = tifbpf.read(place.output).recordings
    assert recording.state is State.KILLED, recording.state
    totals = recording.metadata.totals
    assert totals.seen == totals.recorded + totals.losses.total > 0, totals
    assert "are missing" in " ".join(place.run("report", place.output).split())


@contextlib.contextmanager
def mounted(place: Stand, *arguments: str | Path) -> Iterator[Path]:
    """Mount something, and have the recording there."""
    where = place.directory / "scratch" / "mounted"
    where.mkdir()
    subprocess.run(["mount", *arguments, where], check=True)
    output = place.output
    place.output = where / "x.tif.parquet"
    try:
        yield where
    finally:
        place.output = output
        subprocess.run(["umount", where], check=True)
        where.rmdir()


def disk_full(place: Stand) -> None:
    """A file system fills while it is recorded there."""
    with mounted(place, "-t", "tmpfs", "-o", "size=256k", "none"):
        said = ends_unwritable(place, place.recorder(*_FAST))
        assert "No space left on device" in said, said


def quota(place: Stand) -> None:
    """What may be written to a file system is less than there is room for."""
    image = place.directory / "scratch" / "image"
    with image.open("wb") as stream:
        stream.truncate(120 << 20)
    subprocess.run(["mkfs.btrfs", "-q", image], check=True, capture_output=True)
    with mounted(place, "-o", "loop", image) as where:
        place.run("record", "-o", place.output, "-d", "0.2", *_FAST)
        assert [file.name for file in where.iterdir()] == [place.output.name]
        place.output.unlink()
        subprocess.run(["btrfs", "quota", "enable", where], check=True)
        subprocess.run(["btrfs", "qgroup", "limit", "300K", "0/5", where], check=True)
        said = ends_unwritable(place, place.recorder(*_FAST))
        assert os.strerror(errno.EDQUOT) in said, said
    image.unlink()


def memory_limited(place: Stand, megabytes: int) -> None:
    """A memory control group has less than a recorder takes: whatever is killed or refused, it shows."""
    root = memory_groups()
    assert root is not None
    group = root / f"tifbpf-{os.getpid()}"
    group.mkdir()
    try:
        limit = next(file for name in _LIMITS if (file := group / name).exists())
        limit.write_text(str(megabytes << 20))
        enter = ("sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh")
        recorder = place.recorder(*_FAST, "-d", "0.5", within=enter, wait=False)
        code, said = recorder.end(None)
        wait_until_empty(group)
    finally:
        group.rmdir()
    if code == ExitCode.OK:
        assert place.totals().seen > 0
    elif code == -signal.SIGKILL:
        assert not list(place.segments.glob("[0-9]*")) or BEGUN in said
    else:
        assert code == ExitCode.BPF_REFUSED, (code, said)
        assert "killed by SIGKILL, as where memory runs out" in one_line(said)
        assert not place.segments.exists()


def wait_until_empty(group: Path) -> None:
    """Return when no process is in a control group any more."""
    while (group / "cgroup.procs").read_text():
        time.sleep(0.01)


_LIMITS = ("memory.limit_in_bytes", "memory.max")


def write_error(place: Stand, error: str) -> None:
    """The disk answers with an error, such as that of a quota (EDQUOT)."""
    recorder = place.recorder(*_FAST)
    wait_for_segments(place, 2, recorder)
    trace = place.directory / "scratch" / "trace"
    place.trace(recorder, trace, "fsync", "-e", f"inject=fsync:error={error}")
    said = ends_unwritable(place, recorder)
    trace.unlink()
    assert os.strerror(getattr(errno, error)) in said, said


def read_only(place: Stand) -> None:
    """A file system becomes read-only while it is recorded there."""
    with mounted(place, "-t", "tmpfs", "none") as where:
        recorder = place.recorder(*_FAST)
        wait_for_segments(place, 2, recorder)
        # Busy for as long as a segment is open for writing.
        while subprocess.run(
            ["mount", "-o", "remount,ro", where], capture_output=True, check=False
        ).returncode:
            time.sleep(0.01)
        said = ends_unwritable(place, recorder)
        assert "Read-only file system" in said, said


def file_size(place: Stand) -> None:
    """No file may be as long as a segment is."""
    recorder = place.recorder(*_FAST, within=("prlimit", "--fsize=1000"), wait=False)
    code, said = recorder.end(None)
    assert code == ExitCode.OUTPUT_UNWRITABLE, (code, said)
    assert "File too large" in one_line(said.removeprefix(BEGUN))
    assert not place.segments.exists()


def remove(directory: Path) -> None:
    """Remove what is being written to: a new file may come in between, and then it is not empty."""
    while directory.exists():
        with contextlib.suppress(OSError):
            shutil.rmtree(directory)


def segments_removed(place: Stand) -> None:
    """Somebody removes the segments while they are written."""
    recorder = place.recorder(*_FAST)
    wait_for_segments(place, 2, recorder)
    remove(segments_directory(place.output))
    assert "was removed while it was being written" in ends_unwritable(place, recorder, kept=False)


def directory_removed(place: Stand) -> None:
    """Somebody removes the directory and all that is in it."""
    inner = place.directory / "scratch" / "inner"
    inner.mkdir()
    output, place.output = place.output, inner / "x.tif.parquet"
    recorder = place.recorder(*_FAST)
    wait_for_segments(place, 2, recorder)
    remove(inner)
    said = ends_unwritable(place, recorder, kept=False)
    assert "was removed while it was being written" in said, said
    place.output = output


def compiler_starved(place: Stand, megabytes: int) -> None:
    """The child that compiles may not have the memory that it takes."""
    scratch = place.directory / "scratch"
    (scratch / "sitecustomize.py").write_text(
        "import resource, sys\n"
        "if 'tifbpf.recorder.compiler' in sys.orig_argv:\n"
        f"    resource.setrlimit(resource.RLIMIT_AS, ({megabytes} << 20, {megabytes} << 20))\n"
    )
    compiler_dies(place)
    clear(scratch)


def clear(scratch: Path) -> None:
    """Remove what is in it."""
    shutil.rmtree(scratch)
    scratch.mkdir()


def compiler_killed(place: Stand, function: str) -> None:
    """The child that compiles is killed as it enters `function`, as it is where there is no memory."""
    scratch = place.directory / "scratch"
    (scratch / "sitecustomize.py").write_text(
        "import os, sys\n"
        "if 'tifbpf.recorder.compiler' in sys.orig_argv:\n"
        "    sys.setprofile(lambda frame, *_:\n"
        f"        os.kill(os.getpid(), 9) if frame.f_code.co_name == '{function}' else None)\n"
    )
    assert "killed by SIGKILL" in compiler_dies(place)
    clear(scratch)


def compiler_dies(place: Stand) -> str:
    """See to it that a recorder whose compiler dies says so in one line, and leaves nothing."""
    place.environment["PYTHONPATH"] = str(place.directory / "scratch")
    code, said = place.recorder(*_FAST, "-d", "0.1", wait=False).end(None)
    assert code == ExitCode.BPF_REFUSED, (code, said)
    assert not place.segments.exists()
    return one_line(said)


def read_failure(place: Stand, which: int = 1) -> None:
    """The kernel refuses to give back what was counted."""
    recorder = place.recorder(*_FAST)
    wait_for_segments(place, 2, recorder)
    trace = place.directory / "scratch" / "trace"
    place.trace(recorder, trace, "bpf", "-e", f"inject=bpf:error=ENOMEM:when={which}")
    code, said = recorder.end(None)
    trace.unlink()
    assert code == ExitCode.READ_FAILED, (code, said)
    assert "Cannot allocate memory" in one_line(said)
    (metadata,) = tifbpf.read(place.output).metadata
    assert not metadata.complete
    assert metadata.ended.startswith("error: "), metadata.ended
    totals = place.totals()
    assert totals.seen > 0
    assert "is partial" in " ".join(place.run("report", place.output).split())


FAULTS: dict[str, Callable[[Stand], None]] = {
    "disk full": disk_full,
    "quota (EDQUOT injected)": partial(write_error, error="EDQUOT"),
    "quota (of btrfs)": quota,
    "disk error (EIO injected)": partial(write_error, error="EIO"),
    "file system read-only": read_only,
    "file size limit": file_size,
    "segments removed": segments_removed,
    "directory removed": directory_removed,
    "compile child with 60 MB": partial(compiler_starved, megabytes=60),
    "compile child with 150 MB": partial(compiler_starved, megabytes=150),
    "compile child with 230 MB": partial(compiler_starved, megabytes=230),
    "compile child killed before it has work": partial(compiler_killed, function="_main"),
    "compile child killed": partial(compiler_killed, function="_compile"),
    "20 MB, by control group": partial(memory_limited, megabytes=20),
    "60 MB, by control group": partial(memory_limited, megabytes=60),
    "100 MB, by control group": partial(memory_limited, megabytes=100),
    "first bpf(2) of a flush fails": read_failure,
    "second bpf(2) of a flush fails": partial(read_failure, which=2),
    "sixth bpf(2) of a flush fails": partial(read_failure, which=6),
}

NEEDED = {
    "quota (of btrfs)": "btrfs",
    **dict.fromkeys((what for what in FAULTS if "group" in what), "memory_group"),
}
"""What of tests/capabilities.py a fault takes."""


def run(scale: float, names: str = "") -> Iterator[Outcome]:
    """Cause each fault ROUNDS times."""
    for what, fault in FAULTS.items():
        if not re.search(names, what) or not present(NEEDED.get(what, "root")):
            continue
        outcome = Outcome(campaign=CAMPAIGN, what=what)
        for _ in range(max(round(ROUNDS * scale), 1)):
            outcome.attempt(partial(_in_place, fault), faults=1)
        yield outcome


def _in_place(fault: Callable[[Stand], None]) -> None:
    with tempfile.TemporaryDirectory() as directory, stand(Path(directory)) as place:
        fault(place)
