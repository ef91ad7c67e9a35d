"""How often exits were slow: sums over sums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from tifbpf.analysis.classes import classes
from tifbpf.analysis.naming import host_names, syscall_names
from tifbpf.analysis.observed import Observed
from tifbpf.analysis.rows import Line, Rows, Values
from tifbpf.analysis.sums import by_value, rate, total
from tifbpf.engines.query import STEP, TIME
from tifbpf.layouts.model import Context
from tifbpf.recording.paths import ExitPath

_OF_SLOW = {"slow": 0, "slow_per_second": 0.0}
_OF_COUNTED = {"exits": 0, "slow_counted": 0, "exits_per_second": 0.0}
"""What lines have where somebody looked and there was nothing."""
HOST = "host"
"""The dimension that every recording has."""
_MADE_OF = {"syscall": ("syscall", "abi"), HOST: ("place",)}


def columns_of(by: Sequence[str]) -> list[str]:
    """Return the columns that the dimensions are made of: a system call is a number in an ABI."""
    return [column for name in by for column in _MADE_OF.get(name, (name,))]


def named(values: Values, rows: Rows, by: Sequence[str]) -> Values:
    """Replace what dimensions are made of by what they are called; of hosts that is `place`."""
    found = dict(values)
    if "syscall" in by:
        found["syscall"] = syscall_names(found["syscall"], found.pop("abi"))
    if HOST in by:
        found[HOST] = host_names(found["place"], rows.recordings)
    return found


def by_context(rows: Rows, observed: Observed) -> list[Line]:
    """Return one line for each of the three contexts; see `Recordings.frequency`."""
    found = {line["context"]: line for line in by_dimensions(rows, observed, ("context",))}
    lines = []
    for context in Context:
        line = found.get(context, dict.fromkeys(("share", *_OF_SLOW, *_OF_COUNTED)))
        covered = observed.covered(context)
        # A context without a row saw no exit only where somebody looked.
        for columns, known in ((_OF_SLOW, covered), (_OF_COUNTED, observed.counted(context))):
            line |= {name: (line[name] or zero) if known else None for name, zero in columns.items()}
        seconds = observed.seconds(context)
        line |= {
            "context": context.value,
            "covered": covered,
            "seconds": seconds if covered and seconds else None,
        }
        lines.append(line)
    return lines


def by_dimensions(rows: Rows, observed: Observed, by: Sequence[str]) -> list[Line]:
    """Return one line for each value of `by` that was seen; see `Recordings.frequency`."""
    keys = dict.fromkeys(["recording", "context", "path", *columns_of(by)])
    found = named(rows.values(keys), rows, by)
    # A host has seconds of its own; whatever else exits are told apart by, all hosts were watched for it.
    places = found["place"] if HOST in by else [None] * len(found["count"])
    seconds, counted = Seconds(rows, observed), Seconds(rows, observed, counted=True)
    groups: dict[tuple[Any, ...], _Parts] = {}
    for key, recording, place, context, path, count in zip(
        zip(*(found[name] for name in by), strict=True),
        found["recording"],
        places,
        *(found[name] for name in ("context", "path", "count")),
        strict=True,
    ):
        parts = groups.setdefault(key, _Parts([], [], [], [], []))
        exits = count if observed.adds_up_in(recording, context, path) else None
        slow = count if path == ExitPath.SLOW else 0
        parts.exits.append(exits)
        parts.slow.append(slow)
        parts.slow_counted.append(slow if observed.counted_in(recording, context) else None)
        parts.exits_per_second.append(_per_second(exits, counted.of(context, place)))
        parts.slow_per_second.append(_per_second(slow, seconds.of(context, place)))
    return [
        dict(zip(by, key, strict=True)) | _summed(parts)
        for key, parts in sorted(groups.items(), key=lambda group: by_value(group[0]))
    ]


class _Parts(NamedTuple):
    """What adds up to one line."""

    exits: list[int | None]
    slow: list[int]
    slow_counted: list[int | None]
    exits_per_second: list[float | None]
    slow_per_second: list[float | None]


def _summed(parts: _Parts) -> Line:
    exits = total(parts.exits)
    # A thread that began its system call under another name, or before the recording, was counted there: what
    # counts all exits then has fewer of a class than there are slow ones.
    counted = None if exits is None else total(parts.slow_counted)
    return {
        "exits": exits,
        "slow": sum(parts.slow),
        "slow_counted": counted,
        "share": counted / exits if exits and counted is not None and counted <= exits else None,
        "exits_per_second": rate(parts.exits_per_second),
        "slow_per_second": rate(parts.slow_per_second),
    }


def _per_second(exits: int | None, seconds: float) -> float | None:
    return exits / seconds if exits is not None and seconds > 0 else None


def by(rows: Rows, observed: Observed, dimension: str) -> list[Line]:
    """Return `by_dimensions` of one, most slow exits first, with its commonest triggers."""
    commonest = _commonest_triggers(rows, dimension)
    return [
        line
        | dict(zip(("trigger", "trigger_count"), commonest.get(line[dimension], (None, None)), strict=True))
        for line in sorted(by_dimensions(rows, observed, (dimension,)), key=lambda line: -line["slow"])
    ]


class Seconds:
    """For how long contexts were observed: by all hosts together, or by one."""

    def __init__(self, rows: Rows, observed: Observed, *, counted: bool = False) -> None:
        """Add up; only where all exits were `counted`, if that is asked for."""
        self._hosts = {place: rows.recordings[place].metadata.host.name for place in rows.places}
        self._ns: Counter[tuple[str | None, Context]] = Counter()
        for place, context in observed.pairs():
            if not counted or observed.counted_in(place, context):
                for host in (None, self._hosts[place]):
                    self._ns[host, context] += rows.recordings[place].duration_ns

    def of(self, context: str, place: int | None) -> float:
        """Return the seconds of the host that the recording at `place` is of; None: of all hosts."""
        return self._ns[None if place is None else self._hosts[place], Context(context)] / 1e9


def _commonest_triggers(rows: Rows, dimension: str) -> dict[object, tuple[str, int]]:
    """Return, for each value of `dimension`, the bit that triggered most of its slow exits, and how many."""
    keys = ["recording", "context", "word", "syscall_work", "path", *columns_of([dimension])]
    found = named(rows.values(keys, slow_only=True), rows, [dimension])
    triggers: dict[object, Counter[str]] = {}
    for value, exits in zip(found[dimension], classes(found, rows.recordings), strict=True):
        counter = triggers.setdefault(value, Counter())
        for trigger in exits.decoded.triggers:
            counter[trigger.bit] += exits.count
    return {
        value: min(counter.items(), key=lambda item: (-item[1], item[0]))
        for value, counter in triggers.items()
        if counter
    }


def start_of(step_ns: int | None) -> str:
    """Return the key that is the start of a step of that length; None: of an interval."""
    return TIME if step_ns is None else STEP
