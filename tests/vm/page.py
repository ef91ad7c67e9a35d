"""docs/kernels.md, and the same table for a terminal.

python -m tests.vm.page: writes the page from the results of the last `make test-vm`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from tests.vm import cache, findings
from tests.vm.matrix import Cell, Plan, Result, Work
from tifbpf.layouts.model import Context
from tifbpf.recording.metadata import Coverage

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "build" / "vm"
RESULT = "result.json"
PAGE = ROOT / "docs" / "kernels.md"

_HEAD = """# Kernels

Made by `make kernels` from what `make test-vm` found: each kernel below was booted under emulation, and
all exercises were recorded in it, once by the routes that tifbpf chooses there and once more by each other
route that can be used, forced with `--route`. Seen is what the recording says of the exercise's process;
expected is what the exercise caused.

`100 of 100`: so many seen of exactly so many. `104 of ≥100`: the exercise causes at least so many (`≥0`: a
kernel that preempts itself switches to whom the call woke inside the call, and so leaves it without the bit).
A number with an asterisk is not what was expected, and explained below the table. A dash: it cannot be seen
there, and the recording says so:

- `not covered`: the route is of no use for that context, by the kernel's own code; docs/routes.md says why.
- `sees slow exits only`: the bit is in no mask of that exit, so an exit with this bit alone is fast, and the
  route hooks what only slow exits run.
- `blind to it`: the kernel inlined the slowpath of syscall_work, and calls nothing for this bit that could be
  hooked.

`audit` is recorded last, after audit was switched on: every process forked from then on takes the slowpath.
"""

_WORKLOAD = """## A workload

Processes that pass messages over socket pairs, and a compiler, under emulation. For comparison: of the exits
of a kernel build, 1.49 % took the slowpath before Linux 6.19, when nearly all of these were rseq's (commit
3db6b38dfe64, "rseq: Switch to fast path processing on exit to user"), and 198 of 80.7 million after.

The shares below are larger, for three reasons. Here an exit is slow when it hits any mask of the kernel;
since 6.19 that includes RSEQ, which every context switch sets and which alone enters the loop's function
without its work (that commit's fast path), and since 7.1 HRTIMER_REARM at interrupts. Passing messages is a
context switch a message, where a compiler computes. And an emulated processor executes many times fewer
instructions between two ticks of the clock, so that interrupts, and the bits that they bring, come with
more of the exits.
"""


def place(name: str) -> Path:
    """Return the directory for what is found on a kernel; a pattern is no name for one."""
    return RESULTS / re.sub(r"[^\w.+-]", "_", name)


def load(names: Iterable[str], since: float = 0) -> list[Result]:
    """Return the results of those kernels that were written after `since`, in seconds since the epoch."""
    paths = (place(name) / RESULT for name in names)
    return [
        msgspec.json.decode(path.read_bytes(), type=Result)
        for path in paths
        if path.exists() and path.stat().st_mtime > since
    ]


def markdown(results: Sequence[Result]) -> str:
    """Return the whole page."""
    parts = [_HEAD.strip(), _summary(results)]
    parts += [_section(result) for result in results]
    worked = [(result, result.workload) for result in results if result.workload is not None]
    if worked:
        parts += [_WORKLOAD.strip(), *(_work(result, work) for result, work in worked)]
    return "\n\n".join(parts) + "\n"


def terminal(results: Sequence[Result]) -> str:
    """Return the tables without the prose."""
    return "\n\n".join("\n".join([_booted(result), *_aligned(_exercises(result))]) for result in results)


def _booted(result: Result) -> str:
    again = f"; booted {result.boots} times: the emulator ran stale code" if result.boots > 1 else ""
    return f"{result.name} ({result.release}){again}"


def _summary(results: Sequence[Result]) -> str:
    rows = [["kernel", *Context, "agree", "explained", "cannot be seen"]]
    for result in results:
        default = result.plans[0]
        routes = {covered.context: covered.route or "-" for covered in default.contexts}
        cells = [cell for plan in result.plans for cell in plan.cells]
        seen = [cell for cell in cells if cell.seen is not None]
        numbers = (
            f"{sum(cell.agrees for cell in seen)} of {len(seen)}",
            str(sum(bool(cell.explained) for cell in seen)),
            str(len(cells) - len(seen)),
        )
        rows.append([f"{result.name} ({result.release})", *(routes[one] for one in Context), *numbers])
    return "\n".join(
        ["The routes that are chosen, and how many of the numbers below agree:", "", *_table(rows)]
    )


def _section(result: Result) -> str:
    lines = [f"## {result.name}", "", f"{result.release}, {result.version}; layout {result.layout}.", ""]
    rows = [["plan", "context", "route", "exactness", "all exits counted by", "self-tests"]]
    rows += [
        [plan.name, covered.context, *_coverage(covered)]
        for plan in result.plans
        for covered in plan.contexts
        if plan.name == findings.DEFAULT or covered.route is not None
    ]
    lines += [*_table(rows), ""]
    lines += [
        f"- No route for {covered.context} exits: {covered.why_not}."
        for covered in result.plans[0].contexts
        if covered.route is None
    ]
    lines += _perturbs(result.plans)
    lines += ["", *_table(_exercises(result)), ""]
    reasons = {cell.explained for plan in result.plans for cell in plan.cells if cell.explained}
    lines += [f"\\* {reason}" for reason in sorted(reasons)]
    lines += [f"- `{one.exercise}` cannot run: {one.why_not}." for one in result.unavailable]
    return "\n".join(lines).strip()


def _perturbs(plans: Iterable[Plan]) -> list[str]:
    said = {
        covered.route: covered.perturbs for plan in plans for covered in plan.contexts if covered.perturbs
    }
    return [f"- `{route}` {perturbs}." for route, perturbs in said.items()]


def _coverage(covered: Coverage) -> list[str]:
    if covered.route is None:
        return ["-", "", "", ""]
    tests = ", ".join(f"{test.exercise} {test.seen} of {test.expected}" for test in covered.self_tests)
    return [covered.route, covered.exactness, covered.denominator or "nothing", tests]


def _exercises(result: Result) -> list[list[str]]:
    """Return a header, and one row an expectation, with a column a plan."""
    rows = [["exercise", "context", "exits", *(plan.name for plan in result.plans)]]
    # By what they are about: an exercise that failed under one plan has no cell there.
    lines: dict[tuple[str, str, str], dict[str, str]] = {}
    for plan in result.plans:
        for cell in plan.cells:
            where = " ".join(filter(None, [cell.syscall, cell.bit and f"with {cell.bit}"]))
            lines.setdefault((cell.exercise, cell.context, where), {})[plan.name] = _number(cell)
    for about, numbers in lines.items():
        rows.append([*about, *(numbers.get(plan.name, "failed") for plan in result.plans)])
    missing = ["cannot run"] * len(result.plans)
    rows += [[one.exercise, "", "", *missing] for one in result.unavailable]
    return rows


def _number(cell: Cell) -> str:
    if cell.seen is None:
        return f"- {cell.why_not}"
    wrong = "" if cell.agrees else "*" if cell.explained else " WRONG"
    lost = f", {cell.expected - cell.seen} lost" if cell.agrees and cell.seen < cell.expected else ""
    return f"{cell.seen} of {'' if cell.exact else '≥'}{cell.expected}{lost}{wrong}"


def _work(result: Result, work: Work) -> str:
    rows = [["context", "exits", "slow", "share"]]
    for context in Context:
        exits, slow = work.exits[context], work.slow[context]
        share = "not known" if not exits or slow is None else f"{slow / exits:.2%}".replace("%", " %")
        rows.append([context, *("not known" if one is None else f"{one:,}" for one in (exits, slow)), share])
    slow_known = sum(filter(None, work.slow.values()))
    bits = [["bit", "triggered", "of slow exits", "alone"]]
    bits += [
        [one.bit, f"{one.trigger:,}", f"{one.trigger / slow_known:.1%}".replace("%", " %"), f"{one.sole:,}"]
        for one in work.bits
    ]
    return "\n".join([f"### {result.name}, {work.seconds:.0f} s", "", *_table(rows), "", *_table(bits)])


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    head, *body = ("| " + " | ".join(row) + " |" for row in rows)
    return [head, "|" + "---|" * len(rows[0]), *body]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


if __name__ == "__main__":
    PAGE.write_text(markdown(load(cache.KNOWN.default)))
