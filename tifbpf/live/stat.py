"""`tifbpf stat`: a recording that nobody keeps, and its summary.

Two processes. The one that was started records, and may do nothing any more by the end. The other one waits
until then, and prints: pandas has no place in a process that is attached, and may be where only root can
read.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from tifbpf.errors import ExitCode, OutputUnwritableError, TifbpfError
from tifbpf.recorder.options import Options
from tifbpf.recording.metadata import Metadata

_RECORDED = b"r"
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def stat(
    options: Options,
    *,
    duration_ns: int | None,
    command: Sequence[str],
    only_command: bool,
    on_attached: Callable[[Metadata], None],
    on_dropped: Callable[[str], None],
    on_step: Callable[[str], None],
) -> int:
    """Record, print the summary, and return the exit code; for the arguments see `recorder.record.record`.

    Raises:
        TifbpfError: whatever a user or a host can cause.
    """
    try:
        recording = tempfile.TemporaryFile()  # noqa: SIM115 (two processes have it until they end)
    except OSError as error:
        raise OutputUnwritableError(
            f"there is no place for a file without a name: {error.strerror}; set TMPDIR to one"
        ) from error
    told, tell = os.pipe()
    reporter = os.fork()
    if not reporter:
        os.close(tell)
        _report(told, Path(f"/proc/self/fd/{recording.fileno()}"), stderr=bool(command))
    os.close(told)
    try:
        from tifbpf.recorder.record import record

        ending, _ = record(
            options,
            output=recording,
            duration_ns=duration_ns,
            command=command,
            only_command=only_command,
            on_attached=on_attached,
            on_dropped=on_dropped,
            on_step=on_step,
        )
        os.write(tell, _RECORDED)
    finally:
        os.close(tell)
        _, status = os.waitpid(reporter, 0)
    return os.waitstatus_to_exitcode(status) or ending.exit_code


def _report(told: int, recording: Path, *, stderr: bool) -> NoReturn:
    """Print the summary when there is one to print."""
    code = int(ExitCode.OK)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _ENDING}
    try:
        if os.read(told, 1) == _RECORDED:
            for number, handler in before.items():
                signal.signal(number, handler)
            import tifbpf
            from tifbpf.reporters import model, terminal

            report = model.build(tifbpf.read(recording))
            terminal.console(stderr=stderr).print(terminal.summary(report))
    except TifbpfError as error:
        os.write(2, f"tifbpf: {error}\n".encode())
        code = error.exit_code
    except BrokenPipeError:
        # Whoever read has seen enough.
        code = ExitCode.OK
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    finally:
        os._exit(code)
