"""Whole words: which combinations of bits exits showed."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from tifbpf.analysis.classes import plain
from tifbpf.analysis.observed import Observed
from tifbpf.layouts.model import Context, Word
from tifbpf.recording.paths import ExitPath
from tifbpf.recording.reader import Recording

NONE_SET = "0"
UNKNOWN_TIER = "unknown"
"""Of slow exits whose bits were gone when the route looked."""


def name_words(frame: pd.DataFrame, recordings: Sequence[Recording]) -> pd.DataFrame:
    """Replace `word` and `syscall_work` by names (`tif`, `syscall_work`) and numbers (`…_value`).

    Args:
        frame: with the columns recording, word and syscall_work.
        recordings: where the layouts are taken from.
    """
    frame = frame.rename(columns={"word": "tif_value", "syscall_work": "syscall_work_value"})
    for word in Word:
        frame[word.value] = _names(frame["recording"], frame[f"{word}_value"], word, recordings)
    return frame


def _names(places: pd.Series, values: pd.Series, word: Word, recordings: Sequence[Recording]) -> pd.Series:
    pairs = list(zip(plain(places), plain(values), strict=True))
    names = {
        (place, value): "|".join(recordings[place].metadata.layout.names(word, value)) or NONE_SET
        for place, value in set(pairs)
        if value is not None
    }
    return pd.Series([names.get(pair) for pair in pairs], index=values.index, dtype="str")


def split(joined: str | None) -> tuple[str, ...] | None:
    """Return the names that `name_words` joined: () for no bit, None for a word that the kernel has not."""
    if joined is None:
        return None
    return () if joined == NONE_SET else tuple(joined.split("|"))


def words(frame: pd.DataFrame, recordings: Sequence[Recording], observed: Observed) -> pd.DataFrame:
    """Return the commonest words; see `Recordings.words`."""
    named = name_words(frame, recordings)
    counted = [
        observed.counted_in(place, Context(context))
        for place, context in zip(named["recording"], named["context"], strict=True)
    ]
    exits = observed.all_exits()
    slow = int(named["count"][named["path"] == ExitPath.SLOW].sum())
    named["counted"] = named["count"].where(pd.Series(counted, index=named.index, dtype=bool))
    named["timed"] = named["ns"].notna()
    groups = named.groupby(["context", "tif", "syscall_work", "path", "tier"], dropna=False)
    result = pd.DataFrame({"count": groups["count"].sum()})
    result["share_of_exits"] = (groups["counted"].sum(min_count=1) / (exits or pd.NA)).astype("Float64")
    result["share_of_slow"] = (result["count"] / (slow or pd.NA)).astype("Float64")
    is_slow = result.index.get_level_values("path") == ExitPath.SLOW
    result["share_of_slow"] = result["share_of_slow"].where(is_slow)
    for word in Word:
        # Layouts give one name different numbers; then the class has no number to show.
        value = groups[f"{word}_value"]
        result[f"{word}_value"] = value.min().where(value.min() == value.max())
    result["ns"] = groups["ns"].sum(min_count=1).where(groups["timed"].all())
    return result.reset_index(["path", "tier"]).sort_values("count", ascending=False, kind="stable")


def tiers(frame: pd.DataFrame) -> pd.DataFrame:
    """Return slow exits by tier; see `Recordings.tiers`."""
    slow = frame[frame["path"] == ExitPath.SLOW].fillna({"tier": UNKNOWN_TIER})
    result = pd.DataFrame({"slow": slow.groupby(["context", "tier"])["count"].sum()})
    total = int(result["slow"].sum())
    result["share_of_slow"] = (result["slow"] / (total or pd.NA)).astype("Float64")
    return result.sort_values("slow", ascending=False, kind="stable")
