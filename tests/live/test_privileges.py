"""What is still root once everything is attached: nothing of the recorder's, or what an old kernel takes."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

import tifbpf
from tests.live.conftest import TIFBPF, Recorder, exercise, record, run
from tests.live.exporter import status
from tests.live.hits import Hits
from tests.live.kept import NONE, for_maps, mask
from tests.live.test_known_answers import having
from tests.live.test_links import allowed
from tifbpf.errors import BpfRefusedError, ExitCode
from tifbpf.host.btf import KernelTypes
from tifbpf.host.facts import Way
from tifbpf.host.privileges import Capability
from tifbpf.host.programs import FENTRY, ProgramType
from tifbpf.recorder import links

pytestmark = [pytest.mark.live, pytest.mark.requires("root", "raw_tracepoint")]

ROOT = Path(__file__).parents[2]
NOBODY, CALLER = (65534, 65534), (1234, 2345)
N = 1000
KILL = 62
MINIMUM = ("CAP_BPF", "CAP_PERFMON")


@pytest.fixture(params=[NOBODY, CALLER], ids=["root", "sudo"])
def account(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Who the recorder is to become, set up so."""
    monkeypatch.delenv("SUDO_UID", raising=False)
    monkeypatch.delenv("SUDO_GID", raising=False)
    uid, gid = request.param
    if request.param == CALLER:
        monkeypatch.setenv("SUDO_UID", str(uid))
        monkeypatch.setenv("SUDO_GID", str(gid))
    return uid, gid


@pytest.fixture
def theirs(tmp_path: Path, account: tuple[int, int]) -> Path:
    """A directory of that user's."""
    directory = tmp_path / "theirs"
    directory.mkdir()
    os.chown(directory, *account)
    return directory


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def descriptors(pid: int) -> list[str]:
    return [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]


def assert_may_nothing(pid: int, account: tuple[int, int]) -> None:
    for task in Path(f"/proc/{pid}/task").iterdir():
        lines = (line.partition(":") for line in (task / "status").read_text().splitlines())
        said = {name: value.strip() for name, _, value in lines}
        assert set(said["Uid"].split()) == {str(account[0])}
        assert set(said["Gid"].split()) == {str(account[1])}
        assert said["Groups"] == ""
        assert said["NoNewPrivs"] == "1"
        assert {said[name] for name in ("CapInh", "CapBnd", "CapAmb")} == {NONE}
        assert {said[name] for name in ("CapPrm", "CapEff")} == {mask(*for_maps())}


def standing() -> str:
    """What a recorder says that it is."""
    if for_maps():
        return "runs as user 65534, with CAP_BPF, without which bpf(2) is refused here"
    return "runs as user 65534, without any capability"


def owned(path: Path) -> tuple[int, int, int]:
    about = path.lstat()
    return about.st_uid, about.st_gid, stat.S_IMODE(about.st_mode)


def test_a_recorder_may_nothing_and_is_alone(theirs: Path, account: tuple[int, int]) -> None:
    recorder = Recorder(theirs / "x.tif.parquet", "--interval", "0.1")
    pid = recorder.process.pid
    try:
        assert_may_nothing(pid, account)
        assert children(pid) == []
        time.sleep(0.3)
        (segments,) = theirs.iterdir()
        assert owned(segments) == (*account, 0o700)
        assert {owned(path) for path in segments.iterdir()} == {(*account, 0o600)}
    finally:
        recorder.end()
    assert [path.name for path in theirs.iterdir()] == ["x.tif.parquet"]
    assert owned(recorder.output) == (*account, 0o600)
    assert tifbpf.read(recorder.output).recordings[0].metadata.totals.losses.read_failed == 0


def test_where_only_root_may_write_a_keeper_finishes(output: Path, account: tuple[int, int]) -> None:
    recorder = Recorder(output, "--interval", "0.1")
    pid = recorder.process.pid
    try:
        assert_may_nothing(pid, account)
        (keeper,) = children(pid)
        held = status(keeper)
        assert set(held["Uid"].split()) == {"0"}
        assert held["NoNewPrivs"] == "1"
        kept = 1 << Capability.CAP_DAC_OVERRIDE | 1 << Capability.CAP_FOWNER | 1 << Capability.CAP_KILL
        assert held["CapPrm"] == held["CapEff"] == f"{kept:016x}"
        assert (held["CapInh"], held["CapBnd"], held["CapAmb"]) == (NONE, NONE, NONE)
        # Nothing that would stay attached with it.
        assert not any("bpf" in name or "perf" in name for name in descriptors(keeper))
    finally:
        recorder.end()
    assert not Path(f"/proc/{keeper}").exists()
    assert owned(output) == (*account, 0o600)
    assert [path.name for path in output.parent.iterdir()] == [output.name]
    assert tifbpf.read(output).recordings


def test_a_keeper_ends_with_a_recorder_that_is_killed(output: Path) -> None:
    recorder = Recorder(output, "--interval", "0.1")
    (keeper,) = children(recorder.process.pid)
    time.sleep(0.3)
    recorder.end(signal.SIGKILL)
    end = time.monotonic() + 5
    while Path(f"/proc/{keeper}").exists() and time.monotonic() < end:
        time.sleep(0.01)
    assert not Path(f"/proc/{keeper}").exists()
    assert tifbpf.read(output).recordings[0].state == "killed"


def test_a_keeper_that_is_killed_costs_no_exit(output: Path) -> None:
    recorder = Recorder(output, "--interval", "0.1", "--by", "syscall")
    (keeper,) = children(recorder.process.pid)
    subprocess.run(exercise("signal", N), check=True, stdout=subprocess.DEVNULL)
    os.kill(keeper, signal.SIGKILL)
    said = recorder.end()
    assert recorder.process.returncode == ExitCode.OUTPUT_UNWRITABLE
    assert said.count("\n") == 1
    assert "the recording is safe in" in said
    assert having(tifbpf.read(output), "SIGPENDING", syscall="kill") == N


def test_a_command_whose_keeper_is_killed_goes_on(output: Path) -> None:
    recorder = Recorder(output, "--interval", "0.1", "--", "sleep", "100")
    end = time.monotonic() + 5
    while not (sleeps := sleeping(recorder.process.pid)) and time.monotonic() < end:
        time.sleep(0.01)
    (keeper,) = set(children(recorder.process.pid)) - set(sleeps)
    os.kill(keeper, signal.SIGKILL)
    recorder.process.send_signal(signal.SIGTERM)
    recorder.process.wait(timeout=30)
    # It has our stderr, which ends with it.
    os.kill(sleeps[0], signal.SIGKILL)
    _, said = recorder.process.communicate(timeout=30)
    assert recorder.process.returncode == ExitCode.OUTPUT_UNWRITABLE
    assert said.count("\n") == 1


def test_not_one_exit_is_lost_by_it(output: Path, account: tuple[int, int]) -> None:
    recording, done = record(output, "--by", "pid,syscall", "--", *exercise("signal", N))
    assert ", 0 lost (" in done.stderr, done.stderr
    found = recording.recordings[0].rows.to_pylist()
    kills = sum(row["count"] for row in found if row["syscall"] == KILL and row["path"] == "slow")
    assert kills >= N
    assert recording.recordings[0].metadata.totals.losses.map_full == 0
    assert owned(output)[:2] == account


def sleeping(recorder: int) -> list[int]:
    return [
        pid for pid in children(recorder) if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep")
    ]


def test_what_is_run_stays_root_and_is_ended(output: Path) -> None:
    recorder = Recorder(output, "--", "sleep", "100")
    end = time.monotonic() + 5
    while not (sleeps := sleeping(recorder.process.pid)) and time.monotonic() < end:
        time.sleep(0.01)
    (sleep,) = sleeps
    assert set(status(sleep)["Uid"].split()) == {"0"}
    recorder.end(signal.SIGTERM)
    assert recorder.process.returncode == 128 + signal.SIGTERM
    assert not Path(f"/proc/{sleep}").exists()


@pytest.mark.parametrize("arguments", [("stat",), ("top", "-b", "-d", "0.5")])
def test_others_that_record(arguments: tuple[str, ...], account: tuple[int, int]) -> None:
    process = subprocess.Popen([*TIFBPF, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + 20
        while status(process.pid)["NoNewPrivs"] != "1" and time.monotonic() < end:
            time.sleep(0.05)
        # Until it has had something to tell.
        time.sleep(0.8)
        assert_may_nothing(process.pid, account)
    finally:
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    assert "exits" in out


@pytest.fixture
def hidden(tmp_path: Path) -> Path:
    """An interpreter whose packages are where only root can read."""
    place = tmp_path / "venv"
    place.mkdir(mode=0o700)
    venv.create(place, system_site_packages=True, symlinks=True)
    (site,) = place.glob("lib/python*/site-packages")
    for directory in (path for path in sys.path if "site-packages" in path):
        for entry in Path(directory).iterdir():
            if entry.suffix != ".pth" and not (site / entry.name).exists():
                (site / entry.name).symlink_to(entry)
    for name in ("tifbpf", "probes", "reports"):
        (site / name).unlink(missing_ok=True)
        (site / name).symlink_to(ROOT / name)
    return place / "bin" / "python"


@pytest.mark.parametrize(
    "arguments",
    [
        ("record", "-v", "-d", "0.5", "--by", "comm,cgroup,syscall,pid,cpu", "--setters"),
        ("record", "-d", "0.5", "--fail-on", "context == syscall and bit == UPROBE"),
        ("stat", "-d", "0.5"),
        ("top", "-b", "-n", "2", "-d", "0.3"),
    ],
)
def test_what_it_needs_later_need_not_be_readable_then(
    hidden: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = subprocess.run(
        [hidden, "-B", *TIFBPF[1:], *arguments],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == 0, done.stderr


def as_user(directory: Path, capabilities: tuple[str, ...]) -> list[str]:
    """Return the beginning of a command line: as nobody, with these capabilities."""
    names = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in capabilities)
    return [
        *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
        *(f"--inh-caps={names}", f"--ambient-caps={names}"),
        *("env", "-C", str(directory)),
    ]


@pytest.fixture
def everybodys(tmp_path: Path) -> Iterator[Path]:
    """A directory of nobody's that nobody can reach, and a checkout that he can read."""
    parents = [parent for parent in tmp_path.parents if parent.stat().st_mode & 0o077 == 0]
    for parent in (tmp_path, *parents):
        parent.chmod(0o711)
    directory = tmp_path / "nobodys"
    directory.mkdir()
    os.chown(directory, *NOBODY)
    yield directory
    for parent in (tmp_path, *parents):
        parent.chmod(0o700)


def test_two_capabilities_are_enough(everybodys: Path) -> None:
    # What can be read of the checkout is another matter.
    held = (*MINIMUM, "CAP_DAC_READ_SEARCH")
    done = subprocess.run(
        [*as_user(everybodys, held), *TIFBPF, "record", "-v", "-o", "x.tif.parquet", "-d", "0.5"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert standing() in done.stderr
    assert owned(everybodys / "x.tif.parquet") == (*NOBODY, 0o600)


@pytest.mark.parametrize("lacks", MINIMUM)
def test_one_of_them_is_not(everybodys: Path, lacks: str) -> None:
    held = (*(name for name in MINIMUM if name != lacks), "CAP_DAC_READ_SEARCH")
    done = subprocess.run(
        [*as_user(everybodys, held), *TIFBPF, "record", "-o", "x.tif.parquet", "-d", "0.5"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == ExitCode.MISSING_CAPABILITY
    assert done.stderr.count("\n") == 1
    assert f"lacks {lacks}, which BPF needs" in done.stderr
    assert list(everybodys.iterdir()) == []


@pytest.mark.parametrize("lacks", ["setuid", "setgid", "chown"])
def test_root_that_cannot_stop_being_root_records_nothing(output: Path, lacks: str) -> None:
    done = subprocess.run(
        ["setpriv", f"--bounding-set=-{lacks}", *TIFBPF, "record", "-o", str(output), "-d", "0.5"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == ExitCode.MISSING_CAPABILITY
    assert done.stderr.count("\n") == 1
    assert f"CAP_{lacks.upper()}" in done.stderr
    assert list(output.parent.iterdir()) == []


def test_it_says_what_it_is(output: Path) -> None:
    said = run("record", "-v", "-d", "0.2", "-o", output).stderr
    assert f"tifbpf: {standing()}\n" in said


def attach_once() -> bool:
    """Whether the kernel attaches a program of fentry once and never again (before Linux 5.13)."""
    if not allowed(Way.FENTRY):
        return False
    with KernelTypes() as types:
        target = types.function_id("bpf_fentry_test1")
    assert target is not None
    with Hits(ProgramType.TRACING, attach_type=FENTRY, attach_btf_id=target) as hits:
        links.attach_tracing(hits.program, "fentry").close()
        try:
            links.attach_tracing(hits.program, "fentry").close()
        except BpfRefusedError:
            return True
    return False


@pytest.mark.parametrize("option", [("--duty", "25"), ("--max-overhead", "50")])
def test_attaching_again_takes_no_root(
    theirs: Path, account: tuple[int, int], option: tuple[str, str]
) -> None:
    output = theirs / "x.tif.parquet"
    if attach_once():
        done = run("record", "-d", "1", *option, "-o", output, check=False)
        assert done.returncode == ExitCode.BPF_REFUSED
        assert done.stderr.endswith(" only once: leave out --duty and --max-overhead\n")
        assert list(theirs.iterdir()) == []
        return
    recorder = Recorder(output, *option, "--interval", "0.2")
    pid = recorder.process.pid
    # One interval of four is recorded with --duty: the calls go on for more than four.
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        subprocess.run(exercise("signal", 50 * N), check=True, stdout=subprocess.DEVNULL)
    try:
        held = status(pid)
        assert set(held["Uid"].split()) == {str(account[0])}
        assert (held["CapBnd"], held["NoNewPrivs"]) == (NONE, "1")
    finally:
        said = recorder.end()
    assert recorder.process.returncode == 0, said
    (metadata,) = tifbpf.read(recorder.output).metadata
    assert metadata.totals.recorded
    # Raw tracepoints, fentry and fexit are attached by their descriptors, breakpoints are switched on.
    hooks = [hook for coverage in metadata.contexts for hook in coverage.hooks]
    by_perf = any(re.match("(kprobe|kretprobe) on", hook) for hook in hooks)
    attaching = (Capability.CAP_BPF, Capability.CAP_PERFMON) if by_perf or for_maps() else ()
    assert held["CapPrm"] == held["CapEff"] == mask(*attaching)
