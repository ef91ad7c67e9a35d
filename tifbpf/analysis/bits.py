"""Which bits triggered: present, alone, together, and never."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations_with_replacement

import pandas as pd

from tifbpf.analysis.classes import BitName, ExitClass, Need
from tifbpf.analysis.observed import Observed
from tifbpf.layouts.model import Context, Layout, Word

_INDEX = ["word", "bit"]


def bits(found: Sequence[ExitClass], layouts: Sequence[Layout], observed: Observed) -> pd.DataFrame:
    """Return the histogram of bits; see `Recordings.bits`."""
    counts: dict[str, Counter[BitName]] = {
        name: Counter() for name in ("present", "present_slow", "trigger", "sole")
    }
    exits = slow = 0
    for exit_class in found:
        decoded, count = exit_class.decoded, exit_class.count
        if observed.counted_in(exit_class.recording, exit_class.context):
            exits += count
            _add(counts["present"], decoded.bits, count)
        if decoded.triggers:
            slow += count
            _add(counts["present_slow"], decoded.bits, count)
            _add(counts["trigger"], decoded.triggers, count)
            if len(decoded.triggers) == 1:
                _add(counts["sole"], decoded.triggers, count)

    masks = {context: _mask_bits(layouts, context) for context in Context}
    in_mask = frozenset().union(*masks.values())
    covered = [context for context in Context if observed.covered(context)]
    testable = frozenset().union(*(masks[context] for context in covered))
    counted = any(observed.counted(context) for context in covered)
    order = sorted(
        in_mask | counts["present"].keys() | counts["present_slow"].keys(),
        key=lambda bit: (list(Word).index(bit.word), _number(bit, layouts), bit.bit),
    )
    index = pd.MultiIndex.from_tuples([(str(bit.word), bit.bit) for bit in order], names=_INDEX)
    taken_out = [observed.taken_out(bit.word, bit.bit) for bit in order]
    # Where nobody looked, 0 would be a claim: a bit that only interrupts test cannot have triggered where
    # only system calls were covered, and one that the recorder's own hook sets could not be told from it.
    known = {
        "present": [counted for _ in order],
        "present_slow": [bool(covered) for _ in order],
        "trigger": [bit in testable or (bit not in in_mask and bool(covered)) for bit in order],
    }
    known["sole"] = known["trigger"]
    known = {
        name: [
            flag and not (out and not counts[name][bit])
            for flag, out, bit in zip(flags, taken_out, order, strict=True)
        ]
        for name, flags in known.items()
    }
    frame = pd.DataFrame(
        {name: pd.array([counter[bit] for bit in order], dtype="UInt64") for name, counter in counts.items()},
        index=index,
    )
    for name, flags in known.items():
        frame[name] = frame[name].where(pd.Series(flags, index=index, dtype=bool))
    frame["share_of_exits"] = _share(frame["present"], exits)
    frame["share_of_slow"] = _share(frame["trigger"], slow)
    frame["in_mask"] = [bit in in_mask for bit in order]
    frame["taken_out"] = taken_out
    return frame


def _add(counter: Counter[BitName], names: Sequence[BitName], count: int) -> None:
    for name in names:
        counter[name] += count


def _share(counts: pd.Series, total: int) -> pd.Series:
    return (counts / total if total else counts.where(counts.isna())).astype("Float64")


def _mask_bits(layouts: Sequence[Layout], context: Context) -> frozenset[BitName]:
    return frozenset(
        BitName(word, name)
        for layout in layouts
        for word in Word
        for name in layout.names(word, layout.work_mask(context, word))
    )


def _number(name: BitName, layouts: Sequence[Layout]) -> int:
    for layout in layouts:
        if bit := layout.named(name.bit, name.word):
            return bit.number
    return int(name.bit.removeprefix("bit"))


def cooccurrence(found: Sequence[ExitClass]) -> pd.DataFrame:
    """Return how often two bits triggered together; see `Recordings.cooccurrence`."""
    pairs: Counter[tuple[BitName, BitName]] = Counter()
    for exit_class in found:
        for first, second in combinations_with_replacement(exit_class.decoded.triggers, 2):
            pairs[first, second] += exit_class.count
            if first != second:
                pairs[second, first] += exit_class.count
    names = sorted(
        {first for first, _ in pairs},
        key=lambda name: (-pairs[name, name], list(Word).index(name.word), name.bit),
    )
    axis = [(str(name.word), name.bit) for name in names]
    return pd.DataFrame(
        {
            column: pd.array([pairs[row, name] for row in names], dtype="UInt64")
            for column, name in zip(axis, names, strict=True)
        },
        index=_axis(axis),
        columns=_axis(axis),
    )


def _axis(names: list[tuple[str, str]]) -> pd.MultiIndex:
    columns = ([word for word, _ in names], [bit for _, bit in names])
    return pd.MultiIndex.from_arrays(columns, names=_INDEX)


def needs(found: Sequence[ExitClass]) -> pd.DataFrame:
    """Return what the slow exits' work needed; see `Recordings.needs`."""
    counts: Counter[str] = Counter()
    for exit_class in found:
        if exit_class.decoded.need is not None:
            counts["slow"] += exit_class.count
            counts[exit_class.decoded.need] += exit_class.count
            if exit_class.decoded.reschedule_only:
                counts["reschedule_only"] += exit_class.count
    index = pd.Index([*Need, "reschedule_only"], name="need", dtype="str")
    frame = pd.DataFrame({"slow": pd.array([counts[name] for name in index], dtype="UInt64")}, index=index)
    frame["share_of_slow"] = _share(frame["slow"], counts["slow"])
    return frame
