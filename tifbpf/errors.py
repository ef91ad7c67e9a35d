"""What can go wrong for a user, each with its exit code and its one line."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from enum import IntEnum
from typing import ClassVar, NoReturn


class ExitCode(IntEnum):
    """The exit codes of every `tifbpf` command.

    `tifbpf record -- CMD` and `tifbpf stat -- CMD` end with the exit code of CMD when they succeed.
    """

    OK = 0
    """Success; also where whoever read the output has seen enough of it (`tifbpf report FILE | head`)."""
    FAILURE = 1
    """Something failed that has no code of its own."""
    USAGE = 2
    """The command line is wrong."""
    NOT_ROOT = 3
    """Recording needs root."""
    MISSING_CAPABILITY = 4
    """Root, but without a capability that BPF needs."""
    WRONG_BCC = 5
    """`import bcc` finds PyPI's package of that name, which is another project."""
    NO_BCC = 6
    """No `bcc` to import."""
    NO_TYPES = 7
    """Neither BTF nor kernel headers."""
    UNKNOWN_KERNEL = 8
    """No layout fits this kernel."""
    LAYOUT_CONTRADICTED = 9
    """The running kernel does not behave as its layout says."""
    NO_ROUTE = 10
    """Nothing on this kernel lets exits be seen, or the forced route cannot be used."""
    SELF_TEST_FAILED = 11
    """A route was attached and did not see what it had to see."""
    BPF_REFUSED = 12
    """The kernel refused to load or attach a program, or the program did not compile."""
    OUTPUT_EXISTS = 13
    """The output file is there already."""
    OUTPUT_UNWRITABLE = 14
    """The output cannot be written."""
    INPUT_MISSING = 15
    """The input does not exist."""
    INPUT_EMPTY = 16
    """The input has no byte, or no row to speak of."""
    INPUT_NOT_PARQUET = 17
    """The input is no Parquet file."""
    INPUT_FOREIGN = 18
    """The input is Parquet, but no recording."""
    INPUT_TOO_NEW = 19
    """The recording was made by a later tifbpf."""
    INPUT_DAMAGED = 20
    """The recording is damaged."""
    EXERCISE_UNAVAILABLE = 21
    """This host cannot run the exercise."""
    NO_LIBBPF = 22
    """No `libbpf` to load."""
    INPUT_UNREADABLE = 23
    """The input is there and cannot be read."""
    INPUT_REPEATED = 24
    """One recording was given twice."""
    NO_EXTRA = 25
    """A part of tifbpf that is optional was asked for and is not installed."""
    READ_FAILED = 26
    """What was counted could not be read from the kernel; what was recorded until then is kept."""
    NOT_COMPARABLE = 30
    """The recordings differ in what they observed, and a difference of their figures would mean nothing."""
    CONDITION_MET = 31
    """What `--fail-on` names was there."""
    CONDITION_UNDECIDED = 32
    """Whether what `--fail-on` names was there cannot be told: exits were lost, or their bits not seen."""
    CONDITION_UNUSABLE = 33
    """What `--fail-on` names could not be seen here, so that its absence would say nothing."""
    PRIVILEGES_KEPT = 34
    """What is not needed once everything is attached could not be given up: nothing was recorded."""
    COMMAND_NOT_EXECUTABLE = 126
    """CMD is no executable."""
    COMMAND_NOT_FOUND = 127
    """CMD does not exist."""
    INTERRUPTED = 130
    """Ctrl-C, where that is not how a recording ends; other signals: 128 and their number."""


class TifbpfError(Exception):
    """An error that a user or a host can cause: one line saying what is wrong and what to do.

    `str()` of it is that line, without a newline.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.FAILURE


class NotRootError(TifbpfError):
    """Recording was asked for by somebody who is not root."""

    exit_code = ExitCode.NOT_ROOT


class MissingCapabilityError(TifbpfError):
    """Root in name, but the bounding set or a container took a capability away."""

    exit_code = ExitCode.MISSING_CAPABILITY


class PrivilegesKeptError(TifbpfError):
    """The process could not give up what it does not need any more."""

    exit_code = ExitCode.PRIVILEGES_KEPT


class WrongBccError(TifbpfError):
    """`import bcc` finds another project of that name."""

    exit_code = ExitCode.WRONG_BCC


class NoBccError(TifbpfError):
    """There is no bcc."""

    exit_code = ExitCode.NO_BCC


class NoLibbpfError(TifbpfError):
    """There is no libbpf."""

    exit_code = ExitCode.NO_LIBBPF


class NoTypesError(TifbpfError):
    """There is neither BTF nor a headers package to take structure offsets from."""

    exit_code = ExitCode.NO_TYPES


class UnknownKernelError(TifbpfError):
    """No layout fits."""

    exit_code = ExitCode.UNKNOWN_KERNEL


class LayoutContradictedError(TifbpfError):
    """The layout says one bit, the running kernel sets another."""

    exit_code = ExitCode.LAYOUT_CONTRADICTED


class NoRouteError(TifbpfError):
    """No route can be used here."""

    exit_code = ExitCode.NO_ROUTE


class SelfTestError(TifbpfError):
    """A route did not see the exits that were caused for it."""

    exit_code = ExitCode.SELF_TEST_FAILED


class BpfRefusedError(TifbpfError):
    """A BPF program was not compiled, loaded or attached."""

    exit_code = ExitCode.BPF_REFUSED


class ReadFailedError(TifbpfError):
    """The kernel refused to give back what was counted."""

    exit_code = ExitCode.READ_FAILED


class OutputExistsError(TifbpfError):
    """The output is there already and `--force` was not given."""

    exit_code = ExitCode.OUTPUT_EXISTS


class OutputUnwritableError(TifbpfError):
    """The output cannot be written."""

    exit_code = ExitCode.OUTPUT_UNWRITABLE


class InputMissingError(TifbpfError):
    """There is no such file."""

    exit_code = ExitCode.INPUT_MISSING


class InputEmptyError(TifbpfError):
    """The file is empty."""

    exit_code = ExitCode.INPUT_EMPTY


class InputNotParquetError(TifbpfError):
    """The file is no Parquet file."""

    exit_code = ExitCode.INPUT_NOT_PARQUET


class InputForeignError(TifbpfError):
    """The file is Parquet, but not one of ours."""

    exit_code = ExitCode.INPUT_FOREIGN


class InputTooNewError(TifbpfError):
    """The recording has a schema that this version does not know."""

    exit_code = ExitCode.INPUT_TOO_NEW


class InputDamagedError(TifbpfError):
    """The recording is one of ours, but it is damaged."""

    exit_code = ExitCode.INPUT_DAMAGED


class InputUnreadableError(TifbpfError):
    """The input is there and cannot be read."""

    exit_code = ExitCode.INPUT_UNREADABLE


class InputRepeatedError(TifbpfError):
    """One recording was given twice."""

    exit_code = ExitCode.INPUT_REPEATED


class NotComparableError(TifbpfError):
    """The recordings differ in what they observed."""

    exit_code = ExitCode.NOT_COMPARABLE


class ConditionSyntaxError(TifbpfError):
    """What was given is no condition."""

    exit_code = ExitCode.USAGE


class ConditionUnusableError(TifbpfError):
    """The condition names what cannot be seen."""

    exit_code = ExitCode.CONDITION_UNUSABLE


class NoExtraError(TifbpfError):
    """An optional dependency is not installed."""

    exit_code = ExitCode.NO_EXTRA


class ExerciseUnavailableError(TifbpfError):
    """The host does not offer what the exercise needs."""

    exit_code = ExitCode.EXERCISE_UNAVAILABLE


class CommandNotExecutableError(TifbpfError):
    """CMD exists and cannot be executed."""

    exit_code = ExitCode.COMMAND_NOT_EXECUTABLE


class CommandNotFoundError(TifbpfError):
    """CMD does not exist."""

    exit_code = ExitCode.COMMAND_NOT_FOUND


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""How a write to stdout fails where that is a file."""


def run_and_exit(run: Callable[[], int]) -> NoReturn:
    """Exit with what `run` returns, or with an error's line on stderr and its code."""
    _have_standard_streams()
    try:
        code = run()
        sys.stdout.flush()
    except TifbpfError as error:
        sys.stderr.write(f"tifbpf: {error}\n")
        code = error.exit_code
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:
        # `tifbpf report | head`: whoever read has seen enough.
        _discard_output()
        code = ExitCode.OK
    except OSError as error:
        if error.errno not in _FULL or error.filename is not None:
            raise
        _discard_output()
        sys.stderr.write(f"tifbpf: the output cannot be written: {error.strerror}\n")
        code = ExitCode.OUTPUT_UNWRITABLE
    sys.exit(code)


def _discard_output() -> None:
    """Keep Python from complaining once more at exit about what it could not write."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _have_standard_streams() -> None:
    """Stand in for those that were closed (`tifbpf report FILE >&-`): nothing else may take their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # In this order each gets the number that it lacks, for that is the lowest free one.
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))
