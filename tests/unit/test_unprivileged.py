"""Giving up privileges: in children, which are root before."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tifbpf.errors import ExitCode, PrivilegesKeptError
from tifbpf.host import unprivileged
from tifbpf.host.privileges import Capability
from tifbpf.host.unprivileged import Account
from tifbpf.recorder.bpf import unpreempted
from tifbpf.recorder.drop import for_the_cpu

ACCOUNT = Account(1234, 2345)
BPF = frozenset({Capability.CAP_BPF})
_PR_GET_DUMPABLE = 3


def in_child(act: Callable[[], object]) -> str:
    """Return what `act` returned, as text; the exception's name if it raised one."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            said = str(act())
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        said = stream.read()
    os.waitpid(child, 0)
    return said


def status(*names: str) -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    return " ".join(" ".join(line.split()[1:]) for line in lines if line.partition(":")[0] in names)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"SUDO_UID": "1000", "SUDO_GID": "100"}, (1000, 100)),
        ({"SUDO_UID": "1000", "SUDO_GID": "0"}, (1000, 0)),
        *(
            ({"SUDO_UID": uid, "SUDO_GID": "100"}, None)
            for uid in (
                "0",
                "00",
                "",
                "-1",
                "4294967295",
                "9" * 20,
                "root",
                "\u0661",
                "1e3",
                "0x3e8",
            )
        ),
        ({"SUDO_UID": "1000", "SUDO_GID": "4294967295"}, None),
        ({"SUDO_UID": "1000"}, None),
        ({}, None),
    ],
)
def test_whom_root_becomes(environment: dict[str, str], expected: tuple[int, int] | None) -> None:
    nobody = unprivileged.caller({})
    assert nobody.uid == 65534
    assert unprivileged.caller(environment) == (expected or nobody)


@pytest.mark.requires("root")
class TestBecome:
    def test_nothing_is_left(self) -> None:
        def act() -> str:
            assert unprivileged.become(ACCOUNT) == frozenset()
            return status("Uid", "Gid", "Groups", "NoNewPrivs")

        assert in_child(act) == " ".join(["1234"] * 4 + ["2345"] * 4 + ["", "1"])

        def capabilities() -> str:
            unprivileged.become(ACCOUNT)
            return status("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")

        assert set(in_child(capabilities)) == {"0", " "}

    def test_nothing_comes_back(self) -> None:
        def act() -> int:
            unprivileged.become(ACCOUNT)
            os.setuid(0)
            return 0

        assert in_child(act).startswith("PermissionError")

    def test_others_of_that_user_cannot_look_into_it(self) -> None:
        def act() -> int:
            unprivileged.become(ACCOUNT)
            return ctypes.CDLL(None).prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0)

        assert in_child(act) == "0"

    def test_the_fallback_goes_where_it_is_not_needed(self) -> None:
        assert in_child(lambda: unprivileged.become(ACCOUNT, fallback=BPF)) == "frozenset()"

    def test_the_fallback_stays_where_it_is(self) -> None:
        def act() -> str:
            def refused() -> None:
                if Capability.CAP_BPF not in unprivileged.effective():
                    raise PermissionError(1, "Operation not permitted")

            kept = unprivileged.become(ACCOUNT, fallback=BPF, attempt=refused)
            return f"{sorted(map(int, kept))} {status('CapEff', 'CapPrm', 'Uid')}"

        bits = f"{1 << Capability.CAP_BPF:016x}"
        assert in_child(act) == f"[39] 1234 1234 1234 1234 {bits} {bits}"

    def test_what_stays_refused_is_told(self) -> None:
        def act() -> None:
            def refused() -> None:
                raise PermissionError(1, "Operation not permitted")

            unprivileged.become(ACCOUNT, fallback=BPF, attempt=refused)

        assert in_child(act).startswith("PrivilegesKeptError: ")

    @pytest.mark.parametrize("lacks", [Capability.CAP_SETUID, Capability.CAP_SETGID])
    def test_who_cannot_go_is_told(self, lacks: Capability) -> None:
        def act() -> None:
            held = unprivileged.permitted() - {lacks}
            unprivileged._set_capabilities(ctypes.CDLL(None, use_errno=True), effective=held, permitted=held)
            unprivileged.become(ACCOUNT)

        assert in_child(act).startswith("PrivilegesKeptError: privileges cannot be dropped: ")

    def test_a_thread_that_keeps_them_is_noticed(self) -> None:
        def act() -> None:
            threading.Thread(target=threading.Event().wait, daemon=True).start()
            # No root to begin with: nothing that glibc would do in all threads.
            unprivileged.become(unprivileged.ourselves())

        assert "PrivilegesKeptError: privileges were not dropped: the thread" in in_child(act)

    def test_the_cpu_can_still_be_kept(self) -> None:
        def act() -> bool:
            unprivileged.become(ACCOUNT, keep=for_the_cpu())
            with unpreempted():
                kept = os.sched_getscheduler(0)
            return (kept, os.sched_getscheduler(0)) == (os.SCHED_FIFO, os.SCHED_OTHER)

        assert in_child(act) == "True"


def test_its_exit_code() -> None:
    assert PrivilegesKeptError.exit_code is ExitCode.PRIVILEGES_KEPT
