"""For node_exporter's textfile collector: a file that is replaced as a whole."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from prometheus_client import generate_latest

from tifbpf.errors import OutputUnwritableError
from tifbpf.metrics.families import SnapshotCollector
from tifbpf.metrics.snapshot import Snapshot

SUFFIX = ".prom"
"""What the collector reads; other files in its directory it leaves alone."""
_MODE = 0o644


class Textfile:
    """One file."""

    def __init__(self, path: Path) -> None:
        """Take where it is to be."""
        self._path = path
        self._written = False

    def send(self, snapshot: Snapshot) -> None:
        """Replace the file.

        Raises:
            OutputUnwritableError: that cannot be done.
        """
        try:
            with tempfile.NamedTemporaryFile(
                dir=self._path.parent, prefix=f".{self._path.stem}-", delete=False
            ) as file:
                try:
                    os.fchmod(file.fileno(), _MODE)
                    file.write(generate_latest(SnapshotCollector(snapshot)))
                    file.close()
                    os.replace(file.name, self._path)  # noqa: PTH105 (both are names)
                    self._written = True
                except BaseException:
                    Path(file.name).unlink(missing_ok=True)
                    raise
        except OSError as error:
            raise OutputUnwritableError(
                f"{self._path}: {error.strerror}; give a place to write to"
            ) from error

    def close(self) -> None:
        """Remove the file: values that nobody counts any more would look like values that stand still."""
        if self._written:
            with contextlib.suppress(OSError):
                self._path.unlink()
