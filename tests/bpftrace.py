"""A counter that is not ours, beside ours."""

from __future__ import annotations

import subprocess
import time
from typing import Self


class Bpftrace:
    """A bpftrace script that counts from here on; its maps are printed by `end`."""

    def __init__(self, script: str) -> None:
        self._process = subprocess.Popen(
            ["bpftrace", "-B", "none", "-e", f'BEGIN {{ printf("ready\\n"); }} {script}'],
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        while self._process.stdout.readline() != "ready\n":
            assert self._process.poll() is None
        return self

    def __exit__(self, *args: object) -> None:
        self._process.kill()
        self._process.wait()

    def end(self, within: float = 120) -> str:
        """Return what it printed at its end.

        Raises:
            subprocess.TimeoutExpired: It did not end.
        """
        deadline = time.monotonic() + within
        while True:
            # bpftrace 0.17 forgets a SIGINT that comes while it attaches the last of its probes: run() clears
            # what the handler has set.
            self._process.send_signal(2)
            try:
                return self._process.communicate(timeout=3)[0]
            except subprocess.TimeoutExpired:
                if time.monotonic() > deadline:
                    raise
