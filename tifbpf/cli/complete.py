"""What the shell may complete: the values that are known before a command runs.

Names that processes choose (--comm, --cgroup) are not completed: a shell would get them as they are.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable

DIMENSIONS = ("syscall", "comm", "pid", "cgroup", "cpu")

SHOWN = ("host", *DIMENSIONS)
"""What a report may show; every recording has a host."""
SETTERS = "setters"
"""What else `merge --drop` takes."""

Values = Callable[[str], list[str]]
"""Takes what was typed of a value, and returns what it may become."""


def among(*values: str) -> Values:
    """Complete one of `values`."""
    return lambda incomplete: _matching(values, incomplete)


def dimensions(incomplete: str) -> list[str]:
    """Complete the last of several dimensions with commas between them."""
    return _last_of(DIMENSIONS, incomplete)


def dropped(incomplete: str) -> list[str]:
    """Complete the last of what `merge` is to drop."""
    return _last_of((*DIMENSIONS, SETTERS), incomplete)


def shown(incomplete: str) -> list[str]:
    """Complete the last of the dimensions that a report may show."""
    return _last_of(SHOWN, incomplete)


def files(incomplete: str) -> list[str]:
    """Complete the name of a file, which may also be a pattern or a URL and so is no path to typer."""
    names = sorted(glob.glob(f"{glob.escape(incomplete)}*"))  # noqa: PTH207 (as a shell does)
    return [f"{name}/" if os.path.isdir(name) else name for name in names]  # noqa: PTH112


def engines(incomplete: str) -> list[str]:
    """Complete who adds up."""
    return _matching(("duckdb", "dask"), incomplete)


def _last_of(values: Iterable[str], incomplete: str) -> list[str]:
    before, comma, last = incomplete.rpartition(",")
    left = [name for name in values if name not in before.split(",")]
    return [f"{before}{comma}{name}" for name in _matching(left, last)]


def routes(incomplete: str) -> list[str]:
    """Complete the name of a route."""
    from tifbpf.routes.model import catalogue

    return _matching((route.name for route in catalogue()), incomplete)


def syscalls(incomplete: str) -> list[str]:
    """Complete the name of a system call."""
    from tifbpf.layouts.syscalls import names

    return _matching(names(), incomplete)


def exercises(incomplete: str) -> list[str]:
    """Complete the kind of an exercise."""
    from tifbpf.exercises import names

    return _matching(names(), incomplete)


def kernels(incomplete: str) -> list[str]:
    """Complete a release whose layout is known."""
    from tifbpf.layouts.catalogue import names

    return _matching(names(), incomplete)


def _matching(values: Iterable[str], incomplete: str) -> list[str]:
    return [value for value in values if value.startswith(incomplete)]
