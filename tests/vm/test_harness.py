"""What boots and judges the guests."""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from pathlib import Path

import msgspec
import pytest

from tests.vm import archive, cache, machine
from tests.vm.matrix import Cell
from tifbpf.layouts.model import Context

SEEN = Cell(
    plan="default",
    route="prepare",
    exercise="signal",
    context=Context.SYSCALL,
    syscall="kill",
    bit="SIGPENDING",
    expected=100,
    exact=True,
    seen=100,
)


def changed(**values: object) -> Cell:
    return msgspec.structs.replace(SEEN, **values)


def test_what_agrees() -> None:
    assert SEEN.agrees
    assert not changed(seen=99).agrees
    assert not changed(seen=101).agrees
    assert not changed(seen=0).agrees
    assert changed(exact=False, seen=101).agrees
    assert not changed(exact=False, seen=99).agrees


def test_a_loss_that_the_recording_admits_is_no_deviation() -> None:
    assert changed(seen=99, lost=1).agrees
    assert not changed(seen=98, lost=1).agrees
    assert not changed(seen=101, lost=1).agrees


def test_a_deviation_says_what_it_is() -> None:
    expected = "default: signal: 99 of 100 syscall exits of kill with SIGPENDING, by prepare"
    assert str(changed(seen=99)) == expected


def test_packages_sort_by_version() -> None:
    names = [
        "linux-image-6.12.117+deb13-cloud-amd64",
        "linux-image-6.12.90+deb13-cloud-amd64",
        "linux-image-6.12.9+deb13-cloud-amd64",
        "linux-image-6.12.117+deb12-cloud-amd64",
        "linux-image-6.12.90+deb13.1-cloud-amd64",
    ]
    ordered = [name.removeprefix("linux-image-6.12.") for name in sorted(names, key=archive.natural)]
    assert ordered == [
        "9+deb13-cloud-amd64",
        "90+deb13-cloud-amd64",
        "90+deb13.1-cloud-amd64",
        "117+deb12-cloud-amd64",
        "117+deb13-cloud-amd64",
    ]


def test_the_cache_is_where_xdg_says() -> None:
    assert cache.directory({"XDG_CACHE_HOME": "/elsewhere"}) == Path("/elsewhere/tifbpf/vm")
    # Neither relative nor empty counts, and no HOME is needed.
    for environment in ({}, {"XDG_CACHE_HOME": ""}, {"XDG_CACHE_HOME": "here"}):
        assert cache.directory(environment) == Path.home() / ".cache" / "tifbpf" / "vm"


def make_slowly(root: Path) -> None:
    (root / "made").touch()
    with (root.parents[1] / "times").open("a") as file:
        file.write("x")


def make_entry(directory: Path) -> None:
    cache.entry(directory, "kernels", "one", make_slowly)


def test_two_runs_at_once_make_an_entry_once(tmp_path: Path) -> None:
    makers = [multiprocessing.Process(target=make_entry, args=(tmp_path,)) for _ in range(4)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert [maker.exitcode for maker in makers] == [0, 0, 0, 0]
    assert (tmp_path / "kernels" / "one" / "made").exists()
    assert (tmp_path / "times").read_text() == "x"


def test_a_name_that_is_none() -> None:
    with pytest.raises(archive.ArchiveError, match=r"9\.9 is no kernel of kernels\.toml"):
        cache.kernel("9.9")


def processes_about(directory: Path) -> list[bytes]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes())
    return [line for line in found if str(directory).encode() in line]


@pytest.mark.requires("root", "vm")
def test_a_guest_that_hangs_is_ended(tmp_path: Path) -> None:
    with pytest.raises(machine.MachineError, match="was ended after 20 s"):
        machine.run(cache.kernel(cache.KNOWN.default[-1]), ["sleep", "1000"], tmp_path, 20)
    deadline = time.monotonic() + 10
    while (left := processes_about(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left


@pytest.mark.parametrize(
    ("console", "stale"),
    [
        ("[  182.294024] Oops: int3: 0000 [#1] SMP NOPTI\n", True),
        ("[   14.220729] Oops: invalid opcode: 0000 [#1] SMP NOPTI\n", False),
        ("record default: 39 s, exit code 0\n", False),
    ],
)
def test_only_the_emulators_own_failure_is_tried_again(tmp_path: Path, console: str, stale: bool) -> None:
    (tmp_path / machine.LOG).write_text(console)
    assert machine.ran_stale_code(tmp_path) is stale
