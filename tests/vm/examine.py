"""One kernel: booted, told what to do, and what it found compared with what was caused."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tests.vm import cache, findings, machine, page
from tests.vm.findings import Findings, Orders
from tests.vm.locks import locked
from tests.vm.matrix import Result, evaluate, explained

ACTS = 100
"""How often each exercise acts. Emulated, a system call under ptrace takes a millisecond."""
LIMIT = 1200.0
"""Seconds for one guest, of which it needs a fraction."""
BOOTS = 3
"""How often a kernel is booted, as long as nothing but the emulator is why it died."""


def examine(name: str) -> tuple[Findings, Result]:
    """Boot a kernel, have everything done in it, and write the result where the page looks for it.

    Raises:
        ArchiveError: the kernel cannot be had.
        MachineError: the guest did not get to the end.
    """
    directory = page.place(name)
    # Another run may be at the same kernel.
    with locked(directory.with_name(f"{directory.name}.lock")):
        return _examine(name, directory)


def _examine(name: str, directory: Path) -> tuple[Findings, Result]:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    kernel = cache.kernel(name)
    kinds = ("live", "rough") if name in cache.KNOWN.rough else ("live",)
    orders = Orders(
        config=None if kernel.config is None else str(kernel.config),
        acts=ACTS,
        workload=name in cache.KNOWN.workload,
        tests=tuple(str(Path(__file__).with_name(f"{kind}_tests.txt")) for kind in kinds),
    )
    (directory / findings.ORDERS).write_bytes(msgspec.json.encode(orders))
    boots = 0
    found = None
    while found is None or found.left_behind is None:
        if boots == BOOTS or (boots and not machine.ran_stale_code(directory)):
            raise machine.MachineError(f"{name} did not get to the end. {machine.last(directory)}")
        boots += 1
        machine.run(kernel, [sys.executable, "-m", "tests.vm.guest", machine.SHARED], directory, LIMIT)
        written = directory / findings.FINDINGS
        found = msgspec.json.decode(written.read_bytes(), type=Findings) if written.exists() else None
    result = msgspec.structs.replace(evaluate(name, directory, found), boots=boots)
    (directory / page.RESULT).write_bytes(msgspec.json.encode(result))
    return found, result


def problems(found: Findings, result: Result) -> Iterator[str]:
    """Say what is not as it should be, a line or more each."""
    cells = [cell for plan in result.plans for cell in plan.cells]
    yield from (str(cell) for cell in cells if not cell.agrees and not cell.explained)
    yield from (f"{plan.name}: failed: {failed}" for plan in result.plans for failed in plan.failed)
    if not any(cell.seen for cell in cells):
        yield "no plan saw anything: that proves nothing"
    used = {cell.explained for cell in cells}
    needless = [one for one in explained() if result.name in one.kernels and one.reason not in used]
    yield from (f"explained, and does not occur: {one.exercise}: {one.reason}" for one in needless)
    for step in found.steps:
        if step.code:
            yield f"{step.name}: exit code {step.code}\n{step.output}"
    if found.left_behind:
        yield f"left behind: {found.left_behind}"
    if result.name in cache.KNOWN.workload and not (result.workload and result.workload.bits):
        yield "the workload made no exit slow"
