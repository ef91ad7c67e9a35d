"""Known acts, seen through the hook that is going to record: which bit each one sets on this kernel."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable

import msgspec

from tifbpf import exercises
from tifbpf.errors import ExerciseUnavailableError, LayoutContradictedError, SelfTestError
from tifbpf.exercises.children import Child
from tifbpf.exercises.model import Exercise, Expectation
from tifbpf.layouts import establish, syscalls
from tifbpf.layouts.model import Context, Evidence, Layout, Word
from tifbpf.layouts.syscalls import Abi
from tifbpf.recorder.abi import ABIS, CHECK_KEY, CONTEXTS, OWN_WORDS, AbiNumber, ContextNumber
from tifbpf.recorder.bpf import Map, Program
from tifbpf.recorder.drain import Collector
from tifbpf.recording.metadata import SelfTest

ACTS = 64
"""How often each act is repeated: few enough to take no time, many enough to stand out from chance bits."""

LAYOUT_ACTS = ("signal", "task-work", "notify-signal")
"""Exercises with a control, whose bit is known by what they do and not by a layout."""


class CheckedExit(msgspec.Struct, frozen=True):
    """Exits of the watched process with the same words."""

    context: Context
    abi: Abi
    syscall: int
    word: int
    syscall_work: int
    count: int


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


class Window:
    """Watches one process at a time through the check program of an attached route."""

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
        return [_checked_exit(key, value) for key, value in self._checked.items()]


def own_tgid(own: Map) -> int:
    """Return the process that ran read_own_words last, as the programs see it."""
    raw = own.lookup(bytes(4))
    assert raw is not None  # noqa: S101 (an array has all its elements)
    return int(OWN_WORDS.unpack(raw)[2]) >> 32


def _checked_exit(key: bytes, value: bytes) -> CheckedExit:
    word, syscall_work, syscall, abi, context = CHECK_KEY.unpack(key)
    return CheckedExit(
        CONTEXTS[ContextNumber(context)],
        ABIS[AbiNumber(abi)],
        syscall,
        word,
        syscall_work,
        int.from_bytes(value, "little"),
    )


def observe(window: Window, name: str, acts: int = ACTS) -> Observation:
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
        if (exit_.abi, exit_.syscall) == wanted:
            for number in range(exit_.word.bit_length()):
                if exit_.word >> number & 1:
                    found[number] += exit_.count
    return found


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What the acts showed about the layout and about the route."""

    evidence: tuple[Evidence, ...]
    self_tests: tuple[SelfTest, ...]


def check(window: Window, layout: Layout) -> Checked:
    """Make the known acts, and compare what they set with what the layout says.

    Raises:
        LayoutContradictedError: the kernel set another bit than the layout names; both facts are in it.
        SelfTestError: the route did not see the acts.
    """
    observations = [observe(window, name) for name in LAYOUT_ACTS]
    made = [observation for observation in observations if observation.unavailable is None]
    if not any(observation.seen for observation in made):
        raise SelfTestError(
            f"the route saw none of {sum(observation.acts for observation in made)} exits that were caused "
            "for it; see `tifbpf doctor`"
        )
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
    if missed := [test for test in self_tests if test.seen < test.expected]:
        told = ", ".join(f"{test.seen} of {test.expected} of {test.exercise}" for test in missed)
        raise SelfTestError(f"the route saw only {told}; see `tifbpf doctor`, or force another with --route")
    return Checked(
        evidence=tuple(_evidence(observation, layout) for observation in observations),
        self_tests=self_tests,
    )


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
