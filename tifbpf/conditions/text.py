"""What came of a condition, as lines for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tifbpf.conditions.judge import Matched, Outcome, Verdict
from tifbpf.conditions.model import Measure
from tifbpf.errors import ExitCode
from tifbpf.layouts.model import Word
from tifbpf.text import printable

_MOST_SHOWN = 5


def lines(verdict: Verdict) -> Iterator[str]:
    """Yield the outcome, and below it what matched, commonest first; names are printable."""
    text = printable(verdict.condition.text)
    yield f"--fail-on {text}: {verdict.outcome}: {_figures(verdict)}"
    for matched, count in verdict.classes[:_MOST_SHOWN]:
        yield f"  {count:,}: {_described(matched)}"
    if (more := len(verdict.classes) - _MOST_SHOWN) > 0:
        yield f"  and {more:,} more kinds of exits"
    if verdict.outcome is Outcome.UNDECIDED:
        passed_by = ", passed by" if verdict.sampled else ""
        between = ", and there are those between the windows" if verdict.gaps else ""
        yield (
            f"  {verdict.uncertain:,} exits were lost{passed_by}, or slow with their bits gone when the "
            f"route looked{between}; they would decide"
        )


def exit_code(verdicts: Iterable[Verdict]) -> ExitCode:
    """Return the gravest of what came of some conditions, as an exit code; OK if none was met."""
    outcomes = {verdict.outcome for verdict in verdicts}
    if Outcome.MET in outcomes:
        return ExitCode.CONDITION_MET
    return ExitCode.CONDITION_UNDECIDED if Outcome.UNDECIDED in outcomes else ExitCode.OK


def _figures(verdict: Verdict) -> str:
    limit = verdict.condition.limit
    looked_at = " of those looked at" if verdict.sampled else ""
    matched = f"{verdict.matched:,} exit{'s'[: verdict.matched != 1]}{looked_at} matched"
    over = "at least" if limit.reached else "more than"
    during = f"{verdict.seconds:.1f} s"
    match limit.measure:
        case Measure.COUNT:
            return f"{matched} in {during} (fails on {over} {limit.value:,g})"
        case Measure.RATE:
            return f"{matched} in {during}, {verdict.value:,.4g} /s (fails on {over} {limit.value:,g} /s)"
        case Measure.SHARE:
            return (
                f"{matched} of {verdict.exits or 0:,}, {verdict.value * 100:.4g} % "
                f"(fails on {over} {limit.value * 100:g} %)"
            )


def _described(matched: Matched) -> str:
    bits = "|".join(
        trigger.bit if trigger.word is Word.TIF else f"work:{trigger.bit}" for trigger in matched.bits
    )
    values = [f"{name} {printable(value)}" for name, value in matched.values]
    return ", ".join([f"{matched.context} {matched.path}", *values, *([bits] if bits else [])])
