"""Which bits triggered: present, alone, together, and never."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations_with_replacement

from tifbpf.analysis.classes import BitName, ExitClass, Need
from tifbpf.analysis.observed import Observed
from tifbpf.analysis.rows import Line
from tifbpf.analysis.sums import share
from tifbpf.layouts.model import Context, Layout, Word
from tifbpf.recording.paths import ExitPath


def bits(found: Sequence[ExitClass], layouts: Sequence[Layout], observed: Observed) -> list[Line]:
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
    lines = []
    for bit in order:
        line: Line = {"word": bit.word.value, "bit": bit.bit}
        for name, counter in counts.items():
            line[name] = counter[bit] if counter[bit] or bit in known[name] - taken_out else None
        exits = sum(observed.exits_in(*pair) for pair in telling[bit])
        line["exits"] = None if line["present"] is None else exits
        line["share_of_exits"] = share(line["present"], line["exits"])
        line["share_of_slow"] = share(line["trigger"], slow)
        line["in_mask"] = bit in in_mask
        line["taken_out"] = bit in taken_out
        lines.append(line)
    return lines


def _add(counter: Counter[BitName], names: Sequence[BitName], count: int) -> None:
    for name in names:
        counter[name] += count


def _mask_bits(layout: Layout, context: Context) -> frozenset[BitName]:
    return frozenset(
        BitName(word, name) for word in Word for name in layout.names(word, layout.work_mask(context, word))
    )


def _number(name: BitName, layouts: Sequence[Layout]) -> int:
    for layout in layouts:
        if bit := layout.named(name.bit, name.word):
            return bit.number
    return int(name.bit.removeprefix("bit"))


def cooccurrence(found: Sequence[ExitClass]) -> dict[tuple[BitName, BitName], int]:
    """Return how often two bits triggered together, or one at all (beside itself), the commonest first.

    Each pair is there twice; see `Recordings.cooccurrence`.
    """
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
    return {(first, second): pairs[first, second] for first in names for second in names}


def needs(found: Sequence[ExitClass]) -> list[Line]:
    """Return what the slow exits' work needed; see `Recordings.needs`."""
    counts: Counter[str] = Counter()
    for exit_class in found:
        if exit_class.need is not None:
            counts["slow"] += exit_class.count
            counts[exit_class.need] += exit_class.count
            if exit_class.decoded.reschedule_only:
                counts["reschedule_only"] += exit_class.count
    return [
        {"need": str(need), "slow": counts[need], "share_of_slow": share(counts[need], counts["slow"])}
        for need in (*Need, "reschedule_only")
    ]
