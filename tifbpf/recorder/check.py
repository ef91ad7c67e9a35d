"""Known acts, seen through the hook that is going to record: which bit each one sets on this kernel."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

import msgspec

from tifbpf import exercises
from tifbpf.errors import ExerciseUnavailableError, LayoutContradictedError, TifbpfError
from tifbpf.exercises.children import Child
from tifbpf.exercises.model import Exercise, Expectation
from tifbpf.layouts import establish, syscalls
from tifbpf.layouts.model import Context, Evidence, Layout, Word
from tifbpf.layouts.syscalls import Abi
from tifbpf.recorder.abi import ABIS, CHECK_KEY, CONTEXTS, OWN_WORDS, AbiNumber, ContextNumber
from tifbpf.recorder.bpf import Map, Program
from tifbpf.recorder.drain import Collector
from tifbpf.recording.metadata import SelfTest
from tifbpf.routes.choose import Choice
from tifbpf.routes.model import Exactness

ACTS = 64
"""How often each act is repeated: few enough to take no time, many enough to stand out from chance bits."""

LAYOUT_ACTS = ("signal", "task-work", "notify-signal")
"""Exercises with a control, whose bit is known by what they do and not by a layout."""


STIMULI = {
    # With PREEMPT_RT a timer's signal is sent by a thread and not by the interrupt.
    Context.INTERRUPT: (("timer-signal", 64), ("cpu-timer", 16)),
    Context.EXCEPTION: (("page-fault-signal", 64),),
}
"""The exercises that prove a route where no system call's exit does, how often; the first that can be made
here is taken."""

SPARED = 16
"""One of so many may be missed by a route that is not exact, which has a window to miss it in; one that sees
half, or nothing, misses more."""

COUNTED = {Context.SYSCALL: "syscall", Context.EXCEPTION: "page-fault-signal"}
"""The exercise that proves a count of all exits."""

CALLS = 256
"""How many exits prove a count of all of them."""


class CheckedExit(msgspec.Struct, frozen=True):
    """Exits of the watched process with the same words."""

    context: Context
    abi: Abi
    syscall: int
    word: int
    syscall_work: int
    count: int
    all: bool = False
    """Counted among all exits; its words were not looked at."""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What one act showed at the exits of one system call."""

    exercise: str
    bit: str
    """What the kernel calls the bit that the act must set."""
    acts: int
    numbers: tuple[int, ...]
    """The bits of the TIF word that were set by every act and not by the control; one, if all is well."""
    seen: dict[int, int]
    """Acts that showed it, by bit number, of all that were seen set."""
    unavailable: str | None = None
    """Why the act could not be made here."""


class Watches(Protocol):
    """What shows the exits of a process, by whatever programs and maps."""

    def watch(self, act: Callable[[], None]) -> list[CheckedExit]:
        """Run `act` in a child and return the exits of all its system calls."""


class Window:
    """Watches one process at a time through the attached hooks."""

    def __init__(self, *, collector: Collector, checked: Map, own: Map, own_words: Program) -> None:
        """Watch through the programs that write `checked`."""
        self._collector = collector
        self._checked = checked
        self._own = own
        self._own_words = own_words

    def watch(self, act: Callable[[], None]) -> list[CheckedExit]:
        """Run `act` in a child and return the exits of all its system calls.

        Raises:
            ExerciseUnavailableError: `act` raised it.
            TifbpfError: the child failed otherwise.
        """
        self._checked.clear()
        ready, tell_ready = os.pipe()
        gate, open_gate = os.pipe()

        def gated() -> None:
            # The tgid as the programs see it: in a pid namespace, getpid() says another.
            self._own_words.run_here()
            os.write(tell_ready, b"r")
            os.close(tell_ready)
            os.read(gate, 1)
            act()

        child = Child(gated)
        os.close(tell_ready)
        try:
            if os.read(ready, 1):
                self._collector.check_only(own_tgid(self._own))
                os.write(open_gate, b"g")
            child.wait()
        finally:
            for end in (ready, gate, open_gate):
                os.close(end)
            self._collector.check_only(0)
        return [checked_exit(key, value) for key, value in self._checked.items()]


def own_tgid(own: Map) -> int:
    """Return the process that ran read_own_words last, as the programs see it."""
    raw = own.lookup(bytes(4))
    assert raw is not None  # noqa: S101 (an array has all its elements)
    return int(OWN_WORDS.unpack(raw)[2]) >> 32


def checked_exit(key: bytes, value: bytes) -> CheckedExit:
    """Return an element of the map `checked` (struct check_key, u64)."""
    word, syscall_work, syscall, abi, context, counted = CHECK_KEY.unpack(key)
    return CheckedExit(
        CONTEXTS[ContextNumber(context)],
        ABIS[AbiNumber(abi)],
        syscall,
        word,
        syscall_work,
        int.from_bytes(value, "little"),
        bool(counted),
    )


def observe(window: Watches, name: str, acts: int = ACTS) -> Observation:
    """Make the act and its control, and tell which bits are the act's."""
    exercise = exercises.get(name)
    expectation = _told_by_syscall(exercise, acts)
    try:
        act = _bits(window.watch(lambda: exercise.run(acts)), expectation)
        control = _bits(window.watch(lambda: exercise.control(acts)), expectation)
    except ExerciseUnavailableError as error:
        return Observation(
            exercise=name,
            bit=expectation.bit or "",
            acts=acts,
            numbers=(),
            seen={},
            unavailable=str(error),
        )
    return Observation(
        exercise=name,
        bit=expectation.bit or "",
        acts=acts,
        # A chance bit (a reschedule, rseq) may join some acts and some controls; none joins all of either.
        numbers=tuple(sorted(bit for bit, count in act.items() if count >= acts > control[bit])),
        seen=dict(act),
    )


def _told_by_syscall(exercise: Exercise, acts: int) -> Expectation:
    return next(
        expectation
        for expectation in exercise.expectations(acts)
        if expectation.context is Context.SYSCALL and expectation.syscall and expectation.bit
    )


def _bits(exits: list[CheckedExit], expectation: Expectation) -> Counter[int]:
    """Count, by bit number of the TIF word, the exits from the expectation's system call that had it."""
    assert expectation.syscall is not None  # noqa: S101 (chosen so)
    wanted = syscalls.number(expectation.syscall)
    found: Counter[int] = Counter()
    for exit_ in exits:
        if not exit_.all and (exit_.abi, exit_.syscall) == wanted:
            for number in range(exit_.word.bit_length()):
                if exit_.word >> number & 1:
                    found[number] += exit_.count
    return found


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What the acts showed about the layout and about the routes."""

    evidence: tuple[Evidence, ...]
    self_tests: dict[Context, tuple[SelfTest, ...]]
    failed: dict[Context, str]
    """The contexts whose route did not see what was caused for it, and how much it saw."""
    uncounted: dict[Context, str]
    """The contexts whose count of all exits missed some."""


def check(window: Watches, layout: Layout, choices: Iterable[Choice]) -> Checked:
    """Make the known acts for each context, and compare what they set with what the layout says.

    Args:
        window: on the attached hooks.
        layout: the running kernel's.
        choices: the contexts that they are for.

    Raises:
        LayoutContradictedError: the kernel set another bit than the layout names; both facts are in it.
    """
    evidence: tuple[Evidence, ...] = ()
    self_tests: dict[Context, tuple[SelfTest, ...]] = {}
    failed: dict[Context, str] = {}
    uncounted: dict[Context, str] = {}
    for choice in choices:
        if choice.context is Context.SYSCALL:
            evidence, tests = _check_syscalls(window, layout)
        else:
            tests = _check_other(window, layout, choice.context)
        self_tests[choice.context] = tests
        missed = [test for test in tests if not _enough(test, choice)]
        if missed or not tests:
            failed[choice.context] = _told(missed)
        elif choice.count is not None:
            counted = _check_count(window, choice.context)
            self_tests[choice.context] = (*tests, counted)
            if counted.seen < counted.expected:
                uncounted[choice.context] = _told([counted])
    return Checked(evidence=evidence, self_tests=self_tests, failed=failed, uncounted=uncounted)


def _enough(test: SelfTest, choice: Choice) -> bool:
    """Whether the route saw what was caused.

    One that reads the word a few instructions before the exit does misses what is set in between, by another
    CPU for instance: seldom, but not never.
    """
    spared = 0 if choice.exactness is Exactness.EXACT else test.expected // SPARED
    return test.seen >= test.expected - spared


def _told(missed: Iterable[SelfTest]) -> str:
    told = ", ".join(f"{test.seen} of {test.expected} of {test.exercise}" for test in missed)
    return f"the self-test saw {told}" if told else "no self-test could be made"


def _check_syscalls(window: Watches, layout: Layout) -> tuple[tuple[Evidence, ...], tuple[SelfTest, ...]]:
    observations = [observe(window, name) for name in LAYOUT_ACTS]
    made = [observation for observation in observations if observation.unavailable is None]
    contradictions = establish.contradictions(
        layout,
        {observation.bit: observation.numbers[0] for observation in made if len(observation.numbers) == 1},
    )
    if contradictions:
        raise LayoutContradictedError(
            f"{'; '.join(contradictions)}: the layout {layout.name} does not fit this kernel; "
            "give its headers with --headers"
        )
    # A kernel without the bit does the same work by another one (io_uring before NOTIFY_SIGNAL).
    self_tests = tuple(
        SelfTest(
            exercise=observation.exercise,
            expected=observation.acts,
            seen=observation.seen.get(bit.number, 0),
        )
        for observation in made
        if (bit := layout.named(observation.bit, Word.TIF))
    )
    return tuple(_evidence(observation, layout) for observation in observations), self_tests


def _check_other(window: Watches, layout: Layout, context: Context) -> tuple[SelfTest, ...]:
    for name, acts in STIMULI[context]:
        exercise = exercises.get(name)
        try:
            expectation = next(e for e in exercise.expectations(acts) if e.context is context and e.bit)
            exits = window.watch(partial(exercise.run, acts))
        except TifbpfError:
            # Not to be had here, or the host was too busy for it; nothing is known of the route by that.
            continue
        bit = layout.named(str(expectation.bit), Word.TIF)
        if bit is None:
            continue
        seen = sum(
            exit_.count
            for exit_ in exits
            if exit_.context is context and not exit_.all and exit_.word & bit.value
        )
        return (SelfTest(exercise=name, expected=expectation.count, seen=seen),)
    return ()


def _check_count(window: Watches, context: Context) -> SelfTest:
    """Cause exits, slow or not, and compare with how many were counted of all."""
    name = COUNTED[context]
    exercise = exercises.get(name)
    expectation = next(e for e in exercise.expectations(CALLS) if e.context is context)
    wanted = None if expectation.syscall is None else syscalls.number(expectation.syscall)
    exits = window.watch(lambda: exercise.run(CALLS))
    seen = sum(
        exit_.count
        for exit_ in exits
        if exit_.all and exit_.context is context and wanted in (None, (exit_.abi, exit_.syscall))
    )
    return SelfTest(exercise=f"{name}, all exits", expected=expectation.count, seen=seen)


def _evidence(observation: Observation, layout: Layout) -> Evidence:
    source = f"exercise {observation.exercise}"
    if observation.unavailable is not None:
        return Evidence(fact=observation.unavailable, source=source, verdict="absent")
    numbers = " and ".join(map(str, observation.numbers)) or "none"
    bit = layout.named(observation.bit, Word.TIF)
    confirmed = bit is not None and observation.numbers == (bit.number,)
    return Evidence(
        fact=(
            f"{observation.acts} acts that set {observation.bit} set bit {numbers} of the TIF word, "
            "their control did not"
        ),
        source=source,
        verdict="confirms" if confirmed else "absent",
    )
