"""Which routes really work here: attach, cause known exits, take the next route where they were not seen."""

from __future__ import annotations

import os
from typing import NamedTuple

from tifbpf.errors import SelfTestError, TifbpfError
from tifbpf.host.btf import KernelTypes
from tifbpf.host.facts import KernelFacts
from tifbpf.layouts.model import Bit, Context, Layout
from tifbpf.recorder import check, legacy, pid_namespace
from tifbpf.recorder.check import Checked
from tifbpf.recorder.coverage import coverage
from tifbpf.recorder.instrument import HookRefusedError, Instrument, Words
from tifbpf.recorder.legacy import LegacyInstrument
from tifbpf.recorder.options import Options
from tifbpf.recorder.setters import task_members
from tifbpf.recording import process
from tifbpf.recording.metadata import Attempt, Coverage, SelfTest
from tifbpf.routes import setters
from tifbpf.routes.choose import Plan, choose
from tifbpf.routes.model import catalogue


class Proven(NamedTuple):
    """An attached instrument whose every context was seen to work."""

    instrument: Instrument | LegacyInstrument
    plan: Plan
    checked: Checked
    attempts: dict[Context, tuple[Attempt, ...]]
    """The routes that were given up, in the order of trying."""
    tracer_bit: Bit | None
    """The bit that the plan's hooks set in every task."""
    somebody_elses: bool
    """It was set already."""


def prove(facts: KernelFacts, layout: Layout, options: Options) -> Proven:
    """Attach the best routes that work; the caller closes the instrument.

    Raises:
        NoRouteError: there is none, by what the kernel offers.
        SelfTestError: there were some, and none saw what was caused for it.
        LayoutContradictedError: the kernel's bits are not the layout's.
        TifbpfError: whatever else this host lacks or refuses.
    """
    refused: dict[tuple[str, str], str] = {}
    excluded: dict[tuple[str, Context], str] = {}
    attempts: dict[Context, tuple[Attempt, ...]] = {}
    members = _task_members() if options.setters else {}
    while True:
        try:
            plan = choose(
                facts,
                options.route,
                excluding=excluded,
                refused=refused,
                timed=options.latency,
                count_all=options.count_all,
            )
            plan.require()
        except TifbpfError as error:
            if failed := [attempt for tried in attempts.values() for attempt in tried if attempt.self_tests]:
                told = "; ".join(f"{attempt.route}: {attempt.reason}" for attempt in failed)
                raise SelfTestError(
                    f"no route saw what was caused for it: {told}; see `tifbpf doctor`"
                ) from error
            raise
        bit = _tracer_bit(plan, layout)
        own_bit = Words.of(bit) if bit else Words()
        instrument: Instrument | LegacyInstrument | None = None
        try:
            instrument = _kind_for(plan)(
                plan.covered,
                layout=layout,
                own_bit=own_bit,
                dimensions=options.dimensions,
                filters=options.filters,
                max_classes=options.max_classes,
                one_in=options.one_in,
                setters_plan=setters.plan(facts, layout, members, refused) if options.setters else None,
            )
            before = instrument.own_words()
            if before is None and (options.filters.pids or "pid" in options.dimensions):
                pid_namespace.refuse()
            instrument.collector.leave_out(before[1] if before else _own_tgid())
            instrument.attach()
            checked = check.check(instrument.window, layout, plan.covered)
        except HookRefusedError as error:
            if instrument:
                instrument.close()
            refused[error.hook.way, error.hook.symbol] = str(error)
            continue
        except BaseException:
            if instrument:
                instrument.close()
            raise
        for context in checked.uncounted:
            hook = plan.of(context).count
            assert hook is not None  # noqa: S101 (only what counts is checked for it)
            refused[hook.hook.way, hook.hook.symbol] = checked.uncounted[context]
        if not checked.failed and not checked.uncounted:
            return Proven(instrument, plan, checked, attempts, bit, bool(before and before[0] & own_bit))
        instrument.close()
        for context, reason in checked.failed.items():
            route = str(plan.of(context).route)
            excluded[route, context] = reason
            tried = Attempt(route=route, reason=reason, self_tests=_tests(checked, context))
            attempts[context] = (*attempts.get(context, ()), tried)


def _own_tgid() -> int:
    """Return our tgid in the initial namespace, where nobody but /proc of that could tell; else nobody's."""
    return os.getpid() if process.pid_namespace() is None else 0


def _kind_for(plan: Plan) -> type[Instrument | LegacyInstrument]:
    small = any(choice.probe == legacy.PROBE for choice in plan.covered)
    return LegacyInstrument if small else Instrument


def _task_members() -> dict[str, int]:
    with KernelTypes() as types:
        return task_members(types)


def try_out(facts: KernelFacts, layout: Layout, options: Options) -> tuple[Coverage, ...]:
    """Return what a recording would say about each context; nothing stays attached.

    Raises:
        TifbpfError: as `prove` does.
    """
    proven = prove(facts, layout, options)
    proven.instrument.close()
    return coverage(proven.plan, proven.checked, proven.attempts)


def _tests(checked: Checked, context: Context) -> tuple[SelfTest, ...]:
    return checked.self_tests.get(context, ())


def _tracer_bit(plan: Plan, layout: Layout) -> Bit | None:
    routes = {choice.route for choice in plan.covered}
    names = {route.sets_bit for route in catalogue() if route.name in routes and route.sets_bit}
    return next((bit for name in names if (bit := layout.named(name))), None)
