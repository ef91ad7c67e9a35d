"""Runs exercises, and writes down in which processes; what the guest's recordings are made of.

python -m tests.vm.acts FILE N EXERCISE…
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from tests.vm.findings import Act
from tifbpf import exercises
from tifbpf.errors import ExerciseUnavailableError, TifbpfError


def act(name: str, n: int) -> Act:
    """Run one exercise."""
    try:
        expectations = exercises.get(name).expectations(n)
        return Act(name, tuple(exercises.run_in_children(name, n)), expectations)
    except ExerciseUnavailableError as error:
        return Act(name, why_not=str(error))
    except TifbpfError as error:
        return Act(name, failed=str(error))


if __name__ == "__main__":
    file, number, *named = sys.argv[1:]
    acts = [act(name, int(number)) for name in named]
    Path(file).write_bytes(msgspec.json.encode(acts))
