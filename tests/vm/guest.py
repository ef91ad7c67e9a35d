"""What runs in the guest: python -m tests.vm.guest DIRECTORY, as root, with orders in the directory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.left import left, settled
from tests.vm import findings, machine
from tests.vm.findings import Findings, Orders, Step
from tifbpf import exercises
from tifbpf.errors import NoRouteError
from tifbpf.host.facts import KernelFacts
from tifbpf.layouts.model import Context
from tifbpf.recorder import layout
from tifbpf.routes.choose import choose
from tifbpf.routes.model import catalogue

_TRACING = Path("/sys/kernel/tracing")
_DEBUG = Path("/sys/kernel/debug")
_TIFBPF = (sys.executable, "-c", "from tifbpf.cli import main; main()")


class Guest:
    """One run of the orders."""

    def __init__(self, shared: Path) -> None:
        self._shared = shared
        self.orders = msgspec.json.decode((shared / findings.ORDERS).read_bytes(), type=Orders)
        prepare(self.orders.config)
        uname = os.uname()
        self._findings = Findings(release=uname.release, version=uname.version, before=left())

    def step(self, name: str, command: Sequence[str]) -> None:
        """Do one thing, and say at once what became of it."""
        start = time.monotonic()
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        self._did(Step(name, time.monotonic() - start, done.returncode, done.stdout))

    def record(self, name: str, options: Sequence[str], command: Sequence[str]) -> None:
        """Record `command`, in memory first, which is faster than the shared directory."""
        written = Path(machine.SCRATCH) / f"{name}.tif.parquet"
        self.step(f"record {name}", [*_TIFBPF, "record", *options, "-o", str(written), "--", *command])
        if written.exists():
            (self._shared / written.name).write_bytes(written.read_bytes())

    def plan(self, name: str, *options: str) -> None:
        """Record the exercises, one after the other."""
        self.acts(name, options, *(kind for kind in exercises.names() if kind != findings.AUDIT))
        self._findings.plans += (name,)

    def acts(self, name: str, options: Sequence[str], *kinds: str) -> None:
        """Record those exercises."""
        acts = [sys.executable, "-m", "tests.vm.acts", str(self._shared / f"{name}.json")]
        command = [*acts, str(self.orders.acts), *kinds]
        self.record(name, ["--by", "pid,syscall,comm", *options], command)

    def tests(self, name: str, *arguments: str) -> None:
        """Run live tests."""
        pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--tb=short"]
        self.step(name, [*pytest, *arguments])

    def audited(self, routes: Sequence[str]) -> None:
        """Switch audit on, which cannot be undone and costs every process forked later, and act under it."""
        self.step("switch audit on", [sys.executable, "-m", "tests.vm.audit_on"])
        self.acts(findings.audited(findings.DEFAULT), (), findings.AUDIT)
        for route in routes:
            self.acts(findings.audited(route), ("--route", route), findings.AUDIT)
        audited = [f"tests/live/test_{about}.py" for about in ("exercise_audit", "explanation")]
        self.tests("live tests with audit on", "-k", "audit", *audited)

    def kill(self) -> None:
        """Kill a recorder, and look at what it leaves attached."""
        start = time.monotonic()
        options = ["record", "-d", "1000", "-o", f"{machine.SCRATCH}/killed.tif.parquet"]
        recorder = subprocess.Popen([*_TIFBPF, *options], stderr=subprocess.PIPE, text=True)
        assert recorder.stderr is not None
        said = recorder.stderr.readline()
        while_recording = left()
        recorder.kill()
        recorder.wait()
        # Without something to leave behind it would show nothing.
        nothing_to_leave = not while_recording.beside(self._findings.before)
        code = int(nothing_to_leave or bool(settled(self._findings.before)))
        output = f"{said}while recording: {while_recording}\nafter: {left()}"
        self._did(Step("kill", time.monotonic() - start, code, output))

    def run(self) -> None:
        """Do everything."""
        facts = layout.host_facts()
        routes = forceable(facts)
        self.plan(findings.DEFAULT)
        for route in routes:
            self.plan(route, "--route", route)
        if self.orders.workload:
            self.record(
                findings.WORKLOAD, ["--by", "syscall,comm"], [sys.executable, "-m", "tests.vm.workload"]
            )
        self.tests("live tests", *(f"@{path}" for path in self.orders.tests))
        self.audited([route for route in routes if choose(facts, route).of(Context.SYSCALL).route])
        self.kill()
        self._findings.left_behind = settled(self._findings.before)
        self._write()

    def _did(self, step: Step) -> None:
        print(f"{step.name}: {step.seconds:.0f} s, exit code {step.code}\n{step.output}", flush=True)
        self._findings.steps += (step,)
        self._write()

    def _write(self) -> None:
        new = self._shared / f"{findings.FINDINGS}.new"
        new.write_bytes(msgspec.json.encode(self._findings))
        new.rename(self._shared / findings.FINDINGS)


def forceable(facts: KernelFacts) -> list[str]:
    """Return the routes that can be used here and are not what the default plan takes anyway."""
    default = choose(facts)
    found = []
    for route in catalogue():
        try:
            plan = choose(facts, route.name)
        except NoRouteError:
            continue
        if any(default.of(choice.context).route != route.name for choice in plan.covered):
            found.append(route.name)
    return found


def prepare(config: str | None) -> None:
    """Make the guest what an installed system is: its kernel's configuration lies in /boot."""
    subprocess.run(["mount", "-t", "tmpfs", "none", "/boot"], check=True)
    if config is not None:
        Path(f"/boot/config-{os.uname().release}").write_bytes(Path(config).read_bytes())
    for kind, where in (("tracefs", _TRACING), ("debugfs", _DEBUG)):
        if not os.path.ismount(where):
            subprocess.run(["mount", "-t", kind, "none", where], check=True)


if __name__ == "__main__":
    Guest(Path(sys.argv[1])).run()
