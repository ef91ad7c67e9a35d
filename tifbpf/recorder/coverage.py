"""What the recording says about each context: the plan, and what the self-test made of it."""

from __future__ import annotations

from collections.abc import Mapping

from tifbpf.layouts.model import Context
from tifbpf.recording.metadata import Coverage, SelfTest
from tifbpf.routes.choose import Choice, Plan


def coverage(plan: Plan, self_tests: Mapping[Context, tuple[SelfTest, ...]]) -> tuple[Coverage, ...]:
    """Return one `Coverage` for each context."""
    return tuple(_one(choice, self_tests.get(choice.context, ())) for choice in plan.choices)


def _one(choice: Choice, self_tests: tuple[SelfTest, ...]) -> Coverage:
    return Coverage(
        context=choice.context,
        route=choice.route,
        hooks=tuple(str(hook) for hook in choice.hooks),
        exactness=str(choice.exactness or ""),
        denominator=choice.denominator,
        perturbs=choice.perturbs,
        self_tests=self_tests,
        why_not=choice.why_not,
    )
