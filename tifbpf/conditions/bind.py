"""A condition for one kernel and one coverage: refused where its absence could not be seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tifbpf.conditions.facts import Facts, Test, Value, compiled, has_trigger, has_value
from tifbpf.conditions.model import Compared, Condition, Field, Measure
from tifbpf.errors import ConditionUnusableError, TifbpfError
from tifbpf.layouts import decode, syscalls
from tifbpf.layouts.model import Context, Layout, Word
from tifbpf.recording.metadata import Coverage, Metadata
from tifbpf.recording.paths import ExitPath
from tifbpf.recording.triggers import Meanings, Trigger
from tifbpf.text import printable

_WORDS = {Field.WORD: Word.TIF, Field.SYSCALL_WORK: Word.SYSCALL_WORK}
_WORK_PREFIX = "work:"
"""How reports mark a bit of the second word."""
_PREFIXES = ("SYSCALL_WORK_BIT_", "SYSCALL_WORK_", "_TIF_", "TIF_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A condition that can be judged."""

    condition: Condition
    test: Test
    fast_too: bool
    """Whether it is about fast exits also; one that does not name the path is about slow ones."""
    contexts: frozenset[Context]
    """From which an exit could match."""


def bind(condition: Condition, metadata: Metadata, cpus: int) -> Bound:
    """Make sure that every exit that `condition` could match is seen, and return it ready for use.

    Args:
        condition: as it was written.
        metadata: of the recording, or of the one that begins.
        cpus: the highest number of a CPU there, and 1.

    Raises:
        ConditionUnusableError: something that it names does not exist there, or could not be seen.
    """
    return _Binder(condition, metadata, cpus).bound()


class _Binder:
    """The checks, and what they share."""

    def __init__(self, condition: Condition, metadata: Metadata, cpus: int) -> None:
        self._condition = condition
        self._metadata = metadata
        self._layout = metadata.layout
        self._cpus = cpus
        meanings = Meanings(metadata.layout, metadata.contexts)
        self._masks = {context: frozenset(meanings.mask_bits(context)) for context in Context}
        self._fast_too = Field.PATH in condition.fields

    def bound(self) -> Bound:
        if missing := [name for name in self._condition.dimensions if name not in self._metadata.dimensions]:
            raise self._unusable(f"{missing[0]} was not recorded; record with --by {','.join(missing)}")
        self._test: Test = (
            (lambda facts: True)
            if self._condition.expression is None
            else compiled(self._condition.expression, self._resolve)
        )
        named = {
            trigger
            for compared in self._condition.comparisons
            if compared.field is Field.BIT
            for _, trigger in self._triggers(compared)
        }
        # First as if every bit that is named could trigger everywhere: that one cannot is better said of it.
        self._check_bits(set(self._matching(named)))
        matching = self._matching(set())
        if not matching:
            raise self._unusable("no exit that is recorded here can match it; look at its values and filters")
        for coverage in self._metadata.contexts:
            if coverage.context in matching:
                self._check_coverage(coverage)
        return Bound(
            condition=self._condition,
            test=self._test,
            fast_too=self._fast_too,
            contexts=frozenset(matching),
        )

    def _matching(self, more: set[Trigger]) -> list[Context]:
        """Return the contexts an exit from which could match, if it could be slow for `more` bits also."""
        return [context for context in Context if self._test(self._any_exit(context, more)) is not False]

    def _unusable(self, what: str, column: int | None = None) -> ConditionUnusableError:
        place = "" if column is None else f", at character {column}"
        return ConditionUnusableError(f"--fail-on {printable(self._condition.text)}{place}: {what}")

    def _resolve(self, compared: Compared) -> Test:
        match compared.field:
            case Field.CPU | Field.PID:
                return has_value(compared.field, self._numbers(compared))
            case Field.BIT:
                return has_trigger(trigger for _, trigger in self._triggers(compared))
            case Field.WORD | Field.SYSCALL_WORK:
                words = frozenset[Value](
                    self._word(name, _WORDS[compared.field], compared.column) for name in compared.names
                )
                return has_value(compared.field, words.__contains__)
            case Field.SYSCALL:
                numbers = (syscalls.number(name) for name in compared.names)
                calls = frozenset[Value]((str(abi), number) for abi, number in numbers)
                return has_value(compared.field, calls.__contains__)
            case _:
                return has_value(compared.field, frozenset[Value](compared.names).__contains__)

    def _numbers(self, compared: Compared) -> Callable[[Value], bool]:
        highest = max(last for _, last in compared.ranges)
        if compared.field is Field.CPU and highest >= self._cpus:
            raise self._unusable(f"no such CPU: {highest}; there are 0-{self._cpus - 1}", compared.column)

        def accepts(value: Value) -> bool:
            return isinstance(value, int) and any(first <= value <= last for first, last in compared.ranges)

        return accepts

    def _word(self, name: str, word: Word, column: int) -> int:
        try:
            return decode.parse(self._layout, name, word)
        except TifbpfError as error:
            raise self._unusable(str(error), column) from None

    def _triggers(self, compared: Compared) -> Iterator[tuple[str, Trigger]]:
        for name in compared.names:
            found = [Trigger(word, bit) for word, bit in _bits_called(self._layout, name)]
            if not found:
                known = sorted({trigger.bit for context in Context for trigger in self._masks[context]})
                raise self._unusable(
                    f"layout {self._layout.name} has no bit '{printable(name)}'; in its work masks are "
                    f"{', '.join(known)}",
                    compared.column,
                )
            for trigger in found:
                yield name, trigger

    def _any_exit(self, context: Context, more: set[Trigger]) -> Facts:
        """Return what is known of any exit from a context that passes the recording's filters."""
        filters = self._metadata.filters
        values: dict[Field, frozenset[Value]] = {
            Field.CONTEXT: frozenset({str(context)}),
            Field.PATH: frozenset(map(str, self._paths())),
            Field.CPU: frozenset(range(self._cpus)),
        }
        if "cpu" in filters:
            values[Field.CPU] = frozenset(_cpus_of(filters["cpu"]))
        if context is not Context.SYSCALL:
            values[Field.SYSCALL] = frozenset({None})
        elif "syscall" in filters:
            calls = (syscalls.number(name) for name in filters["syscall"].split(","))
            values[Field.SYSCALL] = frozenset((str(abi), number) for abi, number in calls)
        return Facts(values=values, triggers=self._masks[context] | more, triggers_known=False)

    def _paths(self) -> tuple[ExitPath, ...]:
        return (ExitPath.FAST, ExitPath.SLOW) if self._fast_too else (ExitPath.SLOW,)

    def _could_match(self, context: Context, path: ExitPath, triggers: frozenset[Trigger]) -> bool:
        values = {**self._any_exit(context, set()).values, Field.PATH: frozenset[Value]({str(path)})}
        facts = Facts(values=values, triggers=triggers, triggers_known=True)
        return path in self._paths() and self._test(facts) is not False

    def _check_coverage(self, coverage: Coverage) -> None:
        context = coverage.context
        narrow = "narrow it, e.g. with 'context == syscall and ...'; `tifbpf doctor` says what is covered"
        if coverage.route is None:
            raise self._unusable(f"{context} exits could match, and are not covered; {narrow}")
        if coverage.slow_only and self._could_match(context, ExitPath.FAST, frozenset()):
            raise self._unusable(
                f"fast {context} exits could match, and the {coverage.route} route sees slow ones only; "
                "leave fast ones out with 'slow and ...'"
            )
        for unseen in coverage.unseen:
            alone = frozenset({Trigger(unseen.word, unseen.bit)})
            if self._could_match(context, ExitPath.SLOW, alone):
                raise self._unusable(
                    f"{context} exits could match that are slow for nothing but {unseen.bit}, and the "
                    f"{coverage.route} route does not see those; {narrow}, or leave them out with "
                    f"'... and not bit == {unseen.bit}'"
                )
        if coverage.denominator is None and self._condition.limit.measure is Measure.SHARE:
            raise self._unusable(
                f"nothing counts all {context} exits, so a share of them is not known; limit count or rate"
            )

    def _check_bits(self, contexts: set[Context]) -> None:
        """Every bit that is named must be one that could trigger, and be told from our own hook's."""
        if not contexts:
            return
        in_masks = frozenset().union(*(self._masks[context] for context in contexts))
        ours = {Trigger(effect.word, effect.bit) for effect in self._metadata.observer_effects if effect.ours}
        for compared in self._condition.comparisons:
            if compared.field is not Field.BIT:
                continue
            found: dict[str, set[Trigger]] = {}
            for name, trigger in self._triggers(compared):
                found.setdefault(name, set()).add(trigger)
            for name, triggers in found.items():
                if not triggers & in_masks:
                    raise self._unusable(
                        f"{printable(name)} is in no work mask of {' or '.join(sorted(contexts))} exits, so "
                        "it can never trigger there",
                        compared.column,
                    )
                if triggers & ours:
                    raise self._unusable(
                        f"whether {printable(name)} triggered is not known: our own hook sets it on every "
                        "task here",
                        compared.column,
                    )


def _bits_called(layout: Layout, name: str) -> Iterator[tuple[Word, str]]:
    """Yield the bits of either word that have this name, with or without the kernel's prefix."""
    plain = name.removeprefix(_WORK_PREFIX)
    prefix = next((prefix for prefix in _PREFIXES if plain.startswith(prefix)), "")
    for word in Word:
        if name != plain and word is Word.TIF:
            continue
        for candidate in dict.fromkeys((plain, plain.removeprefix(prefix))):
            # A bit of a mask may have no name, and is `bit19` then.
            unnamed = candidate in layout.names(word, _all_masks(layout, word))
            if unnamed or layout.named(candidate, word):
                yield word, candidate
                break


def _all_masks(layout: Layout, word: Word) -> int:
    value = 0
    for context in Context:
        value |= layout.work_mask(context, word)
    return value


def _cpus_of(text: str) -> Iterator[int]:
    """Yield the CPUs of a filter, e.g. `0-3,5`."""
    for part in text.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)
