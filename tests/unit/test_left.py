from __future__ import annotations

import pytest

from tests.left import Left


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (Left(), Left(), ""),
        (Left(), Left(traced=203), "traced: 203"),
        (Left(traced=None), Left(traced=None), ""),
        # Another tracer was at work before, and has more threads to see to by now.
        (Left(traced=200), Left(traced=203), ""),
        (Left(traced=200), Left(), ""),
        (Left(programs=("1 a",)), Left(programs=("1 a", "2 b")), "programs: ['2 b']"),
        (Left(programs=("1 a",)), Left(), ""),
        (Left(), Left(programs=("2 b",), files=("x",)), "programs: ['2 b']\nfiles: ['x']"),
    ],
)
def test_what_is_there_and_was_not(before: Left, now: Left, said: str) -> None:
    assert now.beside(before) == said
