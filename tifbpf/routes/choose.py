"""The choice of routes on one kernel: one a context, and why no better one.

The order of preference is exactness, then the number of contexts covered, then cost. Nothing is decided by a
version number: all that counts is what the kernel was found to offer.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tifbpf.errors import NoRouteError
from tifbpf.host.facts import KernelFacts
from tifbpf.layouts.model import Context
from tifbpf.routes import requirements
from tifbpf.routes.model import Exactness, HookKind, MaskBit, Route, Variant, catalogue, counts

_ADDRESSES = "run as root, with the sysctl kernel.kptr_restrict below 2"
NO_PROBE = "known, and would be chosen here; this tifbpf has no probe for it yet"
NO_PROBE_EITHER = "known, and possible here; this tifbpf has no probe for it yet"
NO_PROBE_UNSURE = "known, and perhaps possible here; this tifbpf has no probe for it yet"


class PlannedHook(msgspec.Struct, frozen=True, kw_only=True):
    """One place where a program is to be put."""

    kind: HookKind
    symbol: str
    """The function, or the tracepoint as `system:event`, as this kernel calls it."""
    word: str
    """Where the word comes from there."""
    way: str
    """`fentry`, `kprobe`, `fexit`, `kretprobe`, `breakpoint`, `raw tracepoint`; `x or y`: trying tells."""
    function: str | None = None
    """What of the route's probe looks there."""
    arguments: int = 0
    stack: bool = False

    def __str__(self) -> str:
        """Return e.g. `fentry on task_work_run`."""
        return f"{self.way} on {self.symbol}"


class PlannedCount(msgspec.Struct, frozen=True, kw_only=True):
    """What counts all exits of a context."""

    probe: str
    """Its file in probes/."""
    hook: PlannedHook


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A route that was not taken for a context."""

    route: str
    reason: str
    remedy: str | None = None
    """What would help; None where nothing would."""
    absent: bool = False
    """Its functions are not in this kernel."""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """How one context is to be observed."""

    context: Context
    route: str | None = None
    """None: not at all."""
    probe: str | None = None
    """The route's file in probes/."""
    hooks: tuple[PlannedHook, ...] = ()
    exactness: Exactness | None = None
    denominator: str | None = None
    """What counts all exits of this context; None where nothing does."""
    count: PlannedCount | None = None
    """What of it is no hook of the route."""
    slow_only: bool = False
    """The route sees slow exits only."""
    timed: bool = False
    """The time in the slowpath is taken."""
    uncounted: str | None = None
    """Why nothing counts all exits."""
    perturbs: str | None = None
    blind: tuple[str, ...] = ()
    """Slow exits of this context that it does not see."""
    blind_bits: tuple[MaskBit, ...] = ()
    """Their mask bits."""
    unknown: tuple[str, ...] = ()
    """What could not be seen beforehand; attaching and the self-test tell."""
    refused: tuple[Refusal, ...] = ()
    """The better routes; all of them where none is taken."""

    @property
    def why_not(self) -> str | None:
        """Why the context is not covered, or why no better route was taken; None if the best was.

        Routes that were refused for one reason share it; those whose functions this kernel does not have are
        named together, for there is nothing to be done about them.
        """
        routes: dict[str, list[str]] = {}
        for refusal in self.refused:
            reason = "not in this kernel, inlined or of another era" if refusal.absent else refusal.reason
            routes.setdefault(reason, []).append(refusal.route)
        return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in routes.items()) or None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One choice for each context."""

    choices: tuple[Choice, ...]

    def of(self, context: Context) -> Choice:
        """Return the choice for `context`."""
        return next(choice for choice in self.choices if choice.context is context)

    @property
    def covered(self) -> tuple[Choice, ...]:
        """The contexts that are observed at all."""
        return tuple(choice for choice in self.choices if choice.route is not None)

    def require(self) -> None:
        """Return if anything can be observed.

        Raises:
            NoRouteError: nothing can.
        """
        if not self.covered:
            why = self.choices[0].refused[-1]
            raise NoRouteError(
                f"no route to any exit on this kernel; the last resort, {why.route}: {why.reason}"
                f"{f' ({why.remedy})' if why.remedy else ''}; see `tifbpf doctor`"
            )


class _Usable(msgspec.Struct, frozen=True, kw_only=True):
    """A route that can be taken for a context."""

    route: Route
    variant: Variant
    hooks: tuple[PlannedHook, ...]
    blind: tuple[str, ...]
    blind_bits: tuple[MaskBit, ...]
    unknown: tuple[str, ...]
    timed: bool

    @property
    def implemented(self) -> bool:
        """Whether this tifbpf has a probe for it."""
        return self.route.probe is not None and all(hook.function for hook in self.hooks)


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the whole choice is made for."""

    facts: KernelFacts
    refused: Mapping[tuple[str, str], str]
    timed: bool


def _assess_variant(asked: _Asked, route: Route, variant: Variant, context: Context) -> _Usable | Refusal:
    if asked.timed and variant.timed:
        answer = _assess_hooks(asked, route, variant, context, timed=True)
        if isinstance(answer, _Usable):
            return answer
    return _assess_hooks(asked, route, variant, context, timed=False)


def _assess_hooks(
    asked: _Asked, route: Route, variant: Variant, context: Context, *, timed: bool
) -> _Usable | Refusal:
    facts = asked.facts
    hooks: list[PlannedHook] = []
    blind, blind_bits = list(variant.blind), list(variant.blind_bits)
    unknown: list[str] = []
    for hook in (hook for hook in (variant.timed if timed else variant.hooks) if context in hook.contexts):
        # What nobody calls is no use attaching to: that comes before whether it can be attached to.
        verdict = requirements.present(facts, hook)
        if verdict.holds:
            verdict = requirements.called(facts, hook, context)
        if verdict.holds is not False:
            verdict = requirements.attachable(facts, hook, asked.refused)
        if verdict.holds is False:
            if hook.required:
                return Refusal(
                    route=route.name, reason=verdict.reason, remedy=verdict.remedy, absent=verdict.absent
                )
            blind.append(f"{hook.without} ({verdict.reason})")
            blind_bits += hook.without_bits
            continue
        if verdict.holds is None:
            unknown.append(verdict.reason)
        name = requirements.name_on(facts, hook)
        hooks.append(
            PlannedHook(
                kind=hook.kind,
                symbol=name,
                word=hook.word,
                way=verdict.way or hook.kind.value,
                function=hook.function,
                arguments=hook.arguments,
                stack=hook.stack,
            )
        )
    return _Usable(
        route=route,
        variant=variant,
        hooks=tuple(hooks),
        blind=tuple(blind),
        blind_bits=tuple(blind_bits),
        unknown=tuple(unknown),
        timed=timed,
    )


def _assess(asked: _Asked, route: Route, context: Context) -> _Usable | Refusal | None:
    """Return how the route can be taken for the context, or why not; None if that is not its context."""
    variants = [variant for variant in route.variants if context in variant.contexts]
    if variants and route.by_stub and (hidden := asked.facts.unseen.get("kallsyms")):
        return Refusal(route=route.name, reason=hidden, remedy=_ADDRESSES)
    answers = [_assess_variant(asked, route, variant, context) for variant in variants]
    for answer in answers:
        if isinstance(answer, _Usable):
            return answer
    # A variant whose functions are there tells more than one of another era.
    for variant, answer in zip(variants, answers, strict=True):
        if all(requirements.present(asked.facts, hook).holds for hook in variant.hooks if hook.required):
            return answer
    return answers[0] if answers else None


def choose(
    facts: KernelFacts,
    forced: str | None = None,
    *,
    implemented_only: bool = True,
    excluding: Mapping[tuple[str, Context], str] | None = None,
    refused: Mapping[tuple[str, str], str] | None = None,
    timed: bool = False,
    count_all: bool = True,
) -> Plan:
    """Choose a route for each context.

    Args:
        facts: what the kernel offers.
        forced: the only route to take.
        implemented_only: take only what this tifbpf has a probe for; False gives the ideal plan.
        excluding: routes not to take for a context, with the reason, such as a failed self-test.
        refused: ways and symbols that the kernel was seen to refuse, with what it said.
        timed: take the time in the slowpath, where that can be seen.
        count_all: count all exits, where that takes a hook of its own.

    Raises:
        NoRouteError: `forced` is no route, or cannot be used here.
    """
    excluding = excluding or {}
    asked = _Asked(facts=facts, refused=refused or {}, timed=timed)
    if forced is not None and forced not in (names := [route.name for route in catalogue()]):
        raise NoRouteError(f"there is no route {forced}: choose one of {', '.join(names)}")
    answers = {
        (route.name, context): _assess(asked, route, context) for route in catalogue() for context in Context
    }
    coverage = {
        route.name: sum(isinstance(answers[route.name, context], _Usable) for context in Context)
        for route in catalogue()
    }

    def decide(context: Context) -> Choice:
        ranked = sorted(catalogue(), key=lambda route: (route.exactness.rank, -coverage[route.name]))
        rejected: list[Refusal] = []
        for route in ranked:
            answer = answers[route.name, context]
            if forced is not None and route.name != forced:
                continue
            if answer is None:
                if forced is not None:
                    rejected.append(Refusal(route=route.name, reason=f"does not see {context} exits"))
                continue
            if isinstance(answer, Refusal):
                rejected.append(answer)
            elif (why := excluding.get((route.name, context))) is not None:
                rejected.append(Refusal(route=route.name, reason=why))
            elif implemented_only and not answer.implemented:
                rejected.append(Refusal(route=route.name, reason=_no_probe(answer, rejected)))
            else:
                return _take(asked, context, answer, rejected, count_all)
        return Choice(context=context, refused=tuple(rejected))

    plan = Plan(choices=tuple(decide(context) for context in Context))
    if forced is not None and not plan.covered:
        why = next(choice.refused[0] for choice in plan.choices if answers[forced, choice.context])
        remedy = f" ({why.remedy})" if why.remedy else ""
        raise NoRouteError(f"the route {forced} cannot be used here: {why.reason}{remedy}")
    return plan


def _no_probe(usable: _Usable, refused: list[Refusal]) -> str:
    if usable.unknown:
        return NO_PROBE_UNSURE
    first = all(refusal.reason != NO_PROBE for refusal in refused)
    return NO_PROBE if first else NO_PROBE_EITHER


def _take(
    asked: _Asked, context: Context, usable: _Usable, refused: list[Refusal], count_all: bool
) -> Choice:
    denominator = usable.variant.denominator.get(context)
    count = uncounted = None
    if denominator is None:
        count, denominator, uncounted = _count(asked, context, count_all)
    return Choice(
        context=context,
        route=usable.route.name,
        probe=usable.route.probe,
        hooks=usable.hooks,
        exactness=usable.route.exactness,
        denominator=denominator,
        count=count,
        slow_only=context not in usable.variant.denominator,
        timed=usable.timed,
        uncounted=uncounted,
        perturbs=usable.route.perturbs,
        blind=usable.blind,
        blind_bits=usable.blind_bits,
        unknown=usable.unknown,
        refused=tuple(refused),
    )


def _count(
    asked: _Asked, context: Context, count_all: bool
) -> tuple[PlannedCount | None, str | None, str | None]:
    """Return what counts all exits of the context, what it says of itself; or why nothing does."""
    if not count_all:
        return None, None, "not asked for"
    why = "nothing is known that counts them"
    for count in counts():
        if count.context is not context:
            continue
        verdict = requirements.attachable(asked.facts, count.hook, asked.refused)
        if verdict.holds is False:
            why = verdict.reason
            continue
        hook = PlannedHook(
            kind=count.hook.kind,
            symbol=count.hook.symbol,
            word=count.hook.word,
            way=verdict.way or count.hook.kind.value,
            function=count.hook.function,
        )
        return PlannedCount(probe=count.probe, hook=hook), count.says, None
    return None, None, why
