"""Which bits triggered: present, alone, together, and never."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations_with_replacement

import pandas as pd

from tifbpf.analysis.classes import BitName, ExitClass, Need
from tifbpf.analysis.observed import Observed
from tifbpf.layouts.model import Context, Layout, Word
from tifbpf.recording.paths import ExitPath

_INDEX = ["word", "bit"]


def bits(found: Sequence[ExitClass], layouts: Sequence[Layout], observed: Observed) -> pd.DataFrame:
    """Return the histogram of bits; see `Recordings.bits`."""
    masks = {
        (place, context): _mask_bits(layouts[place], context)
        for place in range(len(layouts))
        for context in Context
    }
    counts: dict[str, Counter[BitName]] = {
        name: Counter() for name in ("present", "present_slow", "trigger", "sole")
    }
    slow = 0
    for exit_class in found:
        decoded, count = exit_class.decoded, exit_class.count
        pair = exit_class.recording, exit_class.context
        if observed.words_seen_in(*pair):
            _add(counts["present"], decoded.bits, count)
        elif observed.counted_in(*pair):
            # Whatever carried a bit of the mask was slow, and so was seen.
            seen = [bit for bit in decoded.triggers if not observed.unseen_in(*pair, bit)]
            _add(counts["present"], seen, count)
        if exit_class.path == ExitPath.SLOW:
            slow += count
            _add(counts["present_slow"], decoded.bits, count)
            _add(counts["trigger"], decoded.triggers, count)
            if len(decoded.triggers) == 1:
                _add(counts["sole"], decoded.triggers, count)

    in_mask = frozenset().union(*masks.values())
    covered = list(observed.pairs())
    order = sorted(
        in_mask | counts["present"].keys() | counts["present_slow"].keys(),
        key=lambda bit: (list(Word).index(bit.word), _number(bit, layouts), bit.bit),
    )
    testing = {bit: [pair for pair in covered if bit in masks[pair]] for bit in order}
    unseen = {bit for bit in order if any(observed.unseen_in(*pair, bit) for pair in testing[bit])}
    telling = {
        bit: [
            pair
            for pair in covered
            if observed.words_seen_in(*pair)
            or (observed.counted_in(*pair) and pair in testing[bit] and not observed.unseen_in(*pair, bit))
        ]
        for bit in order
    }
    # Where nobody looked, 0 would be a claim: a bit that only interrupts test cannot have triggered where
    # only system calls were covered, one that the route does not see may have, and one that the recorder's
    # own hook sets could not be told from it.
    triggering = {bit for bit in order if testing[bit] or (bit not in in_mask and covered)} - unseen
    known = {
        "present": {bit for bit in order if telling[bit]},
        "present_slow": set(order) if covered else set(),
        "trigger": triggering,
        "sole": triggering,
    }
    taken_out = {bit for bit in order if observed.taken_out(bit)}
    index = pd.MultiIndex.from_tuples([(str(bit.word), bit.bit) for bit in order], names=_INDEX)
    frame = pd.DataFrame(
        {
            name: pd.array(
                [counter[bit] if counter[bit] or bit in known[name] - taken_out else pd.NA for bit in order],
                dtype="UInt64",
            )
            for name, counter in counts.items()
        },
        index=index,
    )
    exits = [sum(observed.exits_in(*pair) for pair in telling[bit]) for bit in order]
    frame["exits"] = pd.Series(exits, index=index, dtype="UInt64").where(frame["present"].notna())
    frame["share_of_exits"] = share(frame["present"], frame["exits"])
    frame["share_of_slow"] = share(frame["trigger"], slow)
    frame["in_mask"] = [bit in in_mask for bit in order]
    frame["taken_out"] = [bit in taken_out for bit in order]
    return frame


def _add(counter: Counter[BitName], names: Sequence[BitName], count: int) -> None:
    for name in names:
        counter[name] += count


def share(part: pd.Series, whole: pd.Series | int) -> pd.Series:
    """Return `part / whole`, NA where either is not known, and of nothing."""
    of = pd.Series(whole, index=part.index, dtype="UInt64")
    return (part / of.where(of > 0)).astype("Float64")


def _mask_bits(layout: Layout, context: Context) -> frozenset[BitName]:
    return frozenset(
        BitName(word, name) for word in Word for name in layout.names(word, layout.work_mask(context, word))
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
        if exit_class.need is not None:
            counts["slow"] += exit_class.count
            counts[exit_class.need] += exit_class.count
            if exit_class.decoded.reschedule_only:
                counts["reschedule_only"] += exit_class.count
    index = pd.Index([*Need, "reschedule_only"], name="need", dtype="str")
    frame = pd.DataFrame({"slow": pd.array([counts[name] for name in index], dtype="UInt64")}, index=index)
    frame["share_of_slow"] = share(frame["slow"], counts["slow"])
    return frame
