"""What a guest's recordings saw, beside what its exercises caused."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import pandas as pd

import tifbpf
from tests.vm import findings
from tests.vm.findings import Act, Findings
from tifbpf import Recordings
from tifbpf.exercises.model import Expectation
from tifbpf.layouts.model import Context, Layout, Word
from tifbpf.recording.metadata import Coverage, Losses

_EXPLAINED = Path(__file__).with_name("explained.toml")


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One expectation under one plan."""

    plan: str
    route: str | None
    exercise: str
    context: Context
    syscall: str | None
    """With the prefix of its ABI; None for the other contexts."""
    bit: str | None
    expected: int
    exact: bool
    seen: int | None
    """None: it could not be seen here."""
    lost: int = 0
    """Exits of the whole recording that it says it saw and lost, any of which may be one of these."""
    why_not: str = ""
    """Why `seen` is None."""
    explained: str = ""
    """Why it is not what was expected, and rightly."""

    @property
    def agrees(self) -> bool:
        """Whether what was seen is what was caused; what cannot be seen contradicts nothing."""
        if self.seen is None:
            return True
        return self.expected - self.lost <= self.seen and not (self.exact and self.seen > self.expected)

    def __str__(self) -> str:
        """Return e.g. `default: signal: 99 of 100 syscall exits of kill with SIGPENDING, by tracepoint`."""
        of = f" of {self.syscall}" if self.syscall else ""
        what = f" with {self.bit}" if self.bit else ""
        number = f"{self.seen} of {'' if self.exact else 'at least '}{self.expected}"
        return f"{self.plan}: {self.exercise}: {number} {self.context} exits{of}{what}, by {self.route}"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One recording of all exercises."""

    name: str
    """`default`, or the route that was forced."""
    contexts: tuple[Coverage, ...]
    losses: Losses
    cells: tuple[Cell, ...]
    failed: tuple[str, ...]
    """Exercises that failed half-way, and how."""


class Unavailable(msgspec.Struct, frozen=True, kw_only=True):
    """An exercise that the kernel cannot run."""

    exercise: str
    why_not: str


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """One bit in the workload's slow exits."""

    word: Word
    bit: str
    trigger: int
    sole: int


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """The workload, by context."""

    exits: dict[Context, int | None]
    """None: nothing counted all of them."""
    slow: dict[Context, int | None]
    """None: the context was not covered."""
    seconds: float
    bits: tuple[Share, ...]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One kernel."""

    name: str
    release: str
    version: str
    layout: str
    plans: tuple[Plan, ...]
    unavailable: tuple[Unavailable, ...]
    workload: Work | None
    boots: int = 1
    """How often it was booted until the emulator got to the end; see `machine.ran_stale_code`."""


class Explained(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A deviation that the kernel's own code explains."""

    kernels: tuple[str, ...]
    """Names of kernels.toml."""
    routes: tuple[str, ...]
    exercise: str
    bit: str | None = None
    """None: any, and none."""
    reason: str

    def covers(self, kernel: str, cell: Cell) -> bool:
        """Whether it is about this cell."""
        return (
            kernel in self.kernels
            and cell.route in self.routes
            and cell.exercise == self.exercise
            and self.bit in (None, cell.bit)
        )


class _ExplainedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    explained: tuple[Explained, ...] = ()


@functools.cache
def explained() -> tuple[Explained, ...]:
    """Return all explained deviations."""
    return msgspec.toml.decode(_EXPLAINED.read_bytes(), type=_ExplainedFile).explained


def evaluate(name: str, directory: Path, found: Findings) -> Result:
    """Compare every recording that a guest left in `directory` with what its exercises expected."""
    plans: list[Plan] = []
    unavailable: dict[str, str] = {}
    layout = ""
    for plan in found.plans:
        recordings, acts = _recorded(directory, plan)
        audited, audit_acts = _audited(directory, plan, recordings)
        (metadata,) = recordings.metadata
        layout = metadata.layout.name
        cells = (*_cells(name, plan, recordings, acts), *_cells(name, plan, audited, audit_acts))
        acts += audit_acts
        plans.append(
            Plan(
                name=plan,
                contexts=metadata.contexts,
                losses=metadata.totals.losses,
                cells=cells,
                failed=tuple(f"{act.exercise}: {act.failed}" for act in acts if act.failed is not None),
            )
        )
        unavailable |= {act.exercise: act.why_not for act in acts if act.why_not is not None}
    workload = directory / f"{findings.WORKLOAD}.tif.parquet"
    return Result(
        name=name,
        release=found.release,
        version=found.version,
        layout=layout,
        plans=tuple(plans),
        unavailable=tuple(Unavailable(exercise=kind, why_not=why) for kind, why in unavailable.items()),
        workload=_work(tifbpf.read(workload)) if workload.exists() else None,
    )


def _recorded(directory: Path, name: str) -> tuple[Recordings, list[Act]]:
    acts = msgspec.json.decode((directory / f"{name}.json").read_bytes(), type=list[Act])
    return tifbpf.read(directory / f"{name}.tif.parquet"), acts


def _audited(directory: Path, plan: str, recordings: Recordings) -> tuple[Recordings, list[Act]]:
    """Return the recording of AUDIT under `plan`; a plan that covers no system calls has only its own."""
    if (directory / f"{findings.audited(plan)}.json").exists():
        return _recorded(directory, findings.audited(plan))
    _, acts = _recorded(directory, findings.audited(findings.DEFAULT))
    return recordings, acts


def _cells(kernel: str, plan: str, recordings: Recordings, acts: Sequence[Act]) -> Iterable[Cell]:
    (metadata,) = recordings.metadata
    coverage = {covered.context: covered for covered in metadata.contexts}
    exits = recordings.exits()
    counted = recordings.frequency(["context", "pid", "syscall"]).reset_index()
    for act in acts:
        for expectation in act.expectations:
            covered = coverage[expectation.context]
            why_not = _why_not(covered, expectation, metadata.layout)
            seen = None
            if why_not is None:
                frame = counted if expectation.bit is None else exits
                seen = _seen(frame, act.pids, expectation)
                why_not = "nothing counts them" if seen is None else ""
            cell = Cell(
                plan=plan,
                route=covered.route,
                exercise=act.exercise,
                context=expectation.context,
                syscall=_call(expectation),
                bit=expectation.bit,
                expected=expectation.count * len(act.pids),
                exact=expectation.exact,
                seen=seen,
                lost=metadata.totals.losses.total,
                why_not=why_not,
            )
            reasons = [one.reason for one in explained() if not cell.agrees and one.covers(kernel, cell)]
            yield msgspec.structs.replace(cell, explained=reasons[0]) if reasons else cell


def _call(expectation: Expectation) -> str | None:
    if expectation.syscall is None or expectation.abi == "x86-64":
        return expectation.syscall
    return f"{expectation.abi}:{expectation.syscall}"


def _why_not(covered: Coverage, expectation: Expectation, layout: Layout) -> str | None:
    """Return why the recording says itself that it cannot have seen this; None if it can."""
    if covered.route is None:
        return "not covered"
    if expectation.bit is None:
        return None
    bit = layout.named(expectation.bit)
    if bit is None:
        return "no such bit"
    if any((unseen.word, unseen.bit) == (bit.word, bit.name) for unseen in covered.unseen):
        return "blind to it"
    if covered.slow_only and not layout.work_mask(covered.context, bit.word) & bit.value:
        return "sees slow exits only"
    return None


def _seen(frame: pd.DataFrame, pids: Iterable[int], expectation: Expectation) -> int | None:
    rows = frame[(frame["context"] == expectation.context) & frame["pid"].isin(list(pids))]
    if expectation.syscall is not None:
        rows = rows[rows["syscall"] == _call(expectation)]
    if expectation.bit is None:
        return None if rows["exits"].isna().any() else int(rows["exits"].sum())
    present = [expectation.bit in f"{tif}|{work}".split("|") for tif, work in _words(rows)]
    return int(rows["count"][present].sum())


def _words(rows: pd.DataFrame) -> Iterable[tuple[object, object]]:
    return zip(rows["tif"], rows["syscall_work"], strict=True)


def _work(recordings: Recordings) -> Work:
    frame = recordings.frequency()
    bits = recordings.bits()
    triggers = bits[bits["trigger"].fillna(0) > 0].sort_values("trigger", ascending=False)
    return Work(
        exits={context: _known(frame, context, "exits") for context in Context},
        slow={context: _known(frame, context, "slow") for context in Context},
        seconds=recordings.metadata[0].duration_ns / 1e9,
        bits=tuple(
            Share(word=Word(row["word"]), bit=row["bit"], trigger=int(row["trigger"]), sole=int(row["sole"]))
            for _, row in triggers.reset_index().iterrows()
        ),
    )


def _known(frame: pd.DataFrame, context: Context, column: str) -> int | None:
    return None if frame[column].isna()[context] else int(frame[column][context])
