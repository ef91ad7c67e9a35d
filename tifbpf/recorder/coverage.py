"""What the recording says about each context: the plan, and what the self-test made of it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tifbpf.layouts.model import Context
from tifbpf.recorder.check import Checked
from tifbpf.recording.metadata import Attempt, Coverage, UnseenBit
from tifbpf.routes.choose import Plan


def coverage(
    plan: Plan, checked: Checked, attempts: Mapping[Context, tuple[Attempt, ...]]
) -> tuple[Coverage, ...]:
    """Return one `Coverage` for each context."""
    return tuple(
        Coverage(
            context=choice.context,
            route=choice.route,
            hooks=tuple(map(str, (*choice.hooks, *((choice.count.hook,) if choice.count else ())))),
            slow_only=choice.slow_only,
            exactness=str(choice.exactness or ""),
            denominator=choice.denominator,
            perturbs=choice.perturbs,
            self_tests=checked.self_tests.get(choice.context, ()),
            why_not=choice.why_not,
            blind=choice.blind,
            unseen=tuple(UnseenBit(word=bit.word, bit=bit.name) for bit in choice.blind_bits),
            attempts=attempts.get(choice.context, ()),
        )
        for choice in plan.choices
    )


def with_blind_cpus(
    contexts: tuple[Coverage, ...], blind: Mapping[Context, tuple[int, ...]]
) -> tuple[Coverage, ...]:
    """Return the same with the CPUs on which exits of a context are not seen any more."""
    return tuple(
        msgspec.structs.replace(coverage, blind_cpus=blind.get(coverage.context, ())) for coverage in contexts
    )
