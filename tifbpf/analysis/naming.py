"""What numbers of rows are called: system calls, hosts, words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tifbpf.layouts import syscalls
from tifbpf.layouts.model import Word
from tifbpf.recording.reader import Recording

NONE_SET = "0"


def syscall_names(numbers: Iterable[int | None], abis: Iterable[str | None]) -> list[str | None]:
    """Return the names of system calls, None where there is none."""
    pairs = list(zip(numbers, abis, strict=True))
    names = {
        (number, abi): syscalls.name(number, abi)
        for number, abi in set(pairs)
        if number is not None and abi is not None
    }
    return [names.get(pair) for pair in pairs]  # type: ignore[arg-type]


def host_names(places: Iterable[int], recordings: Sequence[Recording]) -> list[str]:
    """Return the hosts that recordings are of, by their places."""
    return [recordings[place].metadata.host.name for place in places]


def word_names(
    places: Iterable[int], values: Iterable[int | None], word: Word, recordings: Sequence[Recording]
) -> list[str | None]:
    """Return the names of the bits of words, joined by "|"; "0" for none, None where there is no word.

    Args:
        places: of the recordings whose layouts name them.
        values: the words.
        word: which of both they are.
        recordings: all of them.
    """
    pairs = list(zip(places, values, strict=True))
    names = {
        (place, value): "|".join(recordings[place].metadata.layout.names(word, value)) or NONE_SET
        for place, value in set(pairs)
        if value is not None
    }
    return [names.get(pair) for pair in pairs]  # type: ignore[arg-type]


def split(joined: str | None) -> tuple[str, ...] | None:
    """Return the names that `word_names` joined: () for no bit, None for a word that the kernel has not."""
    if joined is None:
        return None
    return () if joined == NONE_SET else tuple(joined.split("|"))
