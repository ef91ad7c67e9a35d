"""Fixtures of the exercises' tests, a plugin that their modules name."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.exit_counter import ExitCounter


@pytest.fixture(scope="module")
def exit_counter() -> ExitCounter:
    """Compiled once a module."""
    return ExitCounter()


@pytest.fixture
def real_time() -> Iterator[None]:
    """Have the real-time priorities of this machine to oneself: other workers' tests wait."""
    with (Path(tempfile.gettempdir()) / "tifbpf-real-time.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
