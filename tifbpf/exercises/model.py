"""What an exercise is, and what it says about itself."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from typing import ClassVar

import msgspec

from tifbpf.errors import ExerciseUnavailableError
from tifbpf.exercises.children import Child
from tifbpf.layouts.model import Context


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """Exits of one kind that one process causes by `run(n)`.

    A bit that the running kernel's layout does not have cannot be seen there, and says nothing.
    """

    context: Context
    bit: str | None
    """The kernel's name without its prefix; which word it is in is the layout's affair. None: the exits are
    made slow by nothing that the exercise does, so `count` is how many there are, fast ones nearly all."""
    syscall: str | None
    """The system call at whose exit the bit is seen; None for the other contexts."""
    abi: str = "x86-64"
    """Whose table `syscall` is in: `x86-64` or `i386`."""
    count: int
    exact: bool
    """False: there are at least `count`."""

    def __str__(self) -> str:
        number = "exactly" if self.exact else "at least"
        exits = f"{self.context} exit" if self.count == 1 else f"{self.context} exits"
        where = "" if self.syscall is None else f" of {self.syscall}"
        table = "" if self.abi == "x86-64" else f" ({self.abi})"
        what = "that it does nothing to make slow" if self.bit is None else f"with {self.bit}"
        return f"{number} {self.count} {exits}{where}{table} {what}"


class Exercise(ABC):
    """A workload that causes a known number of slow exits of a known kind.

    `run` acts in the process that calls it, which must have a single thread, and puts back what it changed
    (signal handlers and mask, timers, descriptors, affinity, scheduling), unless `lasting` says otherwise.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    """What one act is."""
    why: ClassVar[str]
    """Why the number is exact, or only a lower bound."""
    control_summary: ClassVar[str | None] = None
    """What `control` does instead; None where there is no control."""
    lasting: ClassVar[str | None] = None
    """What stays behind in the process and cannot be taken back, so that it has to be one made for this."""

    @abstractmethod
    def expectations(self, n: int) -> tuple[Expectation, ...]:
        """Return what `run(n)` causes in the process that runs it.

        Raises:
            ExerciseUnavailableError: what it causes depends on the kernel, which does not say.
        """

    def prepared(self, *, control: bool) -> contextlib.AbstractContextManager[None]:
        """Return what has to be in place while the processes that act are forked; most need nothing.

        Args:
            control: They are forked for the control.
        """
        return contextlib.nullcontext()

    @abstractmethod
    def run(self, n: int) -> None:
        """Do `n` acts (`n` >= 1).

        Raises:
            ExerciseUnavailableError: the host lacks something.
            OSError: an act failed half-way.
        """

    def control(self, n: int) -> None:
        """Do the same `n` acts without what sets the bit, so that it must not appear.

        Raises:
            ExerciseUnavailableError: there is no control, or the host lacks something.
        """
        raise ExerciseUnavailableError(f"exercise {self.name} has no control")

    def available(self) -> str | None:
        """Return why this host cannot run it, None if it can: established by one act in a process apart."""
        try:
            self.expectations(1)
            Child(lambda: self.run(1)).wait()
        except ExerciseUnavailableError as error:
            return str(error)
        return None
