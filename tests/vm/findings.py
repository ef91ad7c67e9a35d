"""What the host tells the guest, and the guest the host, as JSON in the directory that they share."""

from __future__ import annotations

import msgspec

from tests.left import Left
from tifbpf.exercises.model import Expectation

ORDERS = "orders.json"
FINDINGS = "findings.json"
DEFAULT = "default"
"""The name of the plan that forces no route."""
WORKLOAD = "workload"
AUDIT = "audit"
"""The exercise that is recorded on its own, last, because audit has to be on for it."""


def audited(plan: str) -> str:
    """Return the name of the recording of AUDIT under `plan`."""
    return f"{plan}-{AUDIT}"


class Orders(msgspec.Struct, frozen=True):
    """What to do."""

    config: str | None
    """The kernel's configuration, for /boot; None where there is none."""
    acts: int
    """How often each exercise acts."""
    workload: bool
    tests: tuple[str, ...]
    """Files with one argument for pytest a line."""


class Act(msgspec.Struct, frozen=True):
    """One exercise while a plan recorded."""

    exercise: str
    pids: tuple[int, ...] = ()
    expectations: tuple[Expectation, ...] = ()
    """In each process."""
    why_not: str | None = None
    """Why this kernel cannot run it."""
    failed: str | None = None
    """How it failed half-way."""


class Step(msgspec.Struct, frozen=True):
    """One thing that was done."""

    name: str
    seconds: float
    code: int
    """The exit code."""
    output: str


class Findings(msgspec.Struct):
    """What became of it. Written anew after each step, so it survives the guest."""

    release: str
    version: str
    before: Left
    plans: tuple[str, ...] = ()
    """The plans that were recorded: `default`, and the routes that were forced."""
    steps: tuple[Step, ...] = ()
    left_behind: str | None = None
    """What there is at the end and was not before, a line each; None: the guest did not get there."""
