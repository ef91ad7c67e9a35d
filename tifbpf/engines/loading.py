"""Reading recordings: what they say about themselves, and sums of their rows that show whether it is so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tifbpf.engines.checks import check
from tifbpf.engines.model import Engine, EngineError
from tifbpf.engines.query import RECORDING, Keys, Query
from tifbpf.engines.source import Source, kind_of
from tifbpf.recording.columns import column, scalar
from tifbpf.recording.exits import Numbers
from tifbpf.recording.paths import ExitPath
from tifbpf.recording.reader import Recording, assembled, damaged
from tifbpf.recording.remote import Location

CLASS = ("recording", "context", "path", "tier", "word", "syscall_work", "latency_log2")
"""What tells classes of exits apart whoever they were of, and whenever."""
_MEASURES = (
    "count",
    "looked_at",
    "ns",
    "ns_max",
    "ns_max_least",
    "rows",
    "rows_with_ns",
    "rows_with_ns_max",
)
_KINDS = Query(keys=(CLASS,), measures=_MEASURES)
_WEIGHTS = Query(keys=((RECORDING, "one_in", "every"),), measures=("rows",))


@dataclass(frozen=True, slots=True)
class Loaded:
    """Recordings whose rows are what their footers say."""

    recordings: tuple[Recording, ...]
    kinds: pa.Table
    """`Query.measures` by `CLASS`."""
    engine: Engine

    def only(self, places: Sequence[int]) -> Loaded:
        """Return some of them."""
        numbers = pc.index_in(self.kinds[RECORDING], _numbers(places))
        kinds = self.kinds.set_column(0, RECORDING, numbers).filter(pc.is_valid(numbers))
        return Loaded(tuple(self.recordings[place] for place in places), kinds, self.engine)

    def sums(
        self, query: Query, groups: Sequence[int] | None = None, places: Iterable[int] | None = None
    ) -> dict[Keys, pa.Table]:
        """Return the sums of `query` over their rows.

        Args:
            query: what to sum.
            groups: of each recording, see `tifbpf.engines.source.Source.group`.
            places: of those to be summed; None: all.

        Raises:
            InputDamagedError: rows cannot be read any more.
        """
        wanted = tuple(range(len(self.recordings)) if places is None else places)
        found = [source for place in wanted for source in _sources(self.recordings[place], place, groups)]
        try:
            sums = self.engine.sums(found, query)
        except EngineError as error:
            raise _blamed(self.recordings, error) from error
        self._check(sums, query, wanted)
        return sums

    def _check(self, sums: Mapping[Keys, pa.Table], query: Query, places: Sequence[int]) -> None:
        """Make sure that nothing was left out: engines believe what the footer says of pages."""
        if "count" not in query.measures or query.among is not None or not self.kinds.num_columns:
            return
        kinds = self.kinds
        wanted = pc.is_in(kinds[RECORDING], _numbers(places))
        if query.slow_only:
            wanted = pc.and_(wanted, pc.equal(kinds["path"], scalar(ExitPath.SLOW.value)))
        exits = _total(kinds.filter(wanted))
        for keys, table in sums.items():
            if (found := _total(table)) != exits:
                raise damaged(
                    self.recordings[places[0]].path,
                    f"by {', '.join(keys)} there are {found} of its {exits} exits"
                    + (f" and those of {len(places) - 1} more" if len(places) > 1 else ""),
                )


def load(paths: Iterable[Location], engine: Engine) -> Loaded:
    """Read recordings, and check that their rows are what they say about themselves.

    Raises:
        TifbpfError: as `tifbpf.recording.reader.load`; InputDamagedError also where rows contradict the
            layout, the route or the totals of their own footer.
    """
    return verified(assembled(engine.parts(list(paths))), engine)


def verified(recordings: Sequence[Recording], engine: Engine) -> Loaded:
    """Check that the rows of recordings are what they say about themselves.

    Raises:
        InputDamagedError: as of `load`.
    """
    recordings = tuple(recordings)
    loaded = Loaded(recordings, pa.table({}), engine)
    with ThreadPoolExecutor(max_workers=1) as beside:
        # Most of both is without the interpreter's lock.
        verifying = beside.submit(_verify, recordings)
        try:
            kinds = loaded.sums(_KINDS)[CLASS]
        finally:
            verifying.result()
    sampled = [place for place, found in enumerate(recordings) if found.metadata.sampling is not None]
    weights = loaded.sums(_WEIGHTS, places=sampled)[_WEIGHTS.keys[0]] if sampled else None
    kinds_of, weights_of = _by_recording(kinds), _by_recording(weights)
    for place, recording in enumerate(recordings):
        check(recording, kinds_of.get(place, []), weights_of.get(place, []))
    return Loaded(recordings, kinds, engine)


def _verify(recordings: Iterable[Recording]) -> None:
    for recording in recordings:
        for part in recording.parts:
            part.verify()


def _by_recording(table: pa.Table | None) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for line in table.to_pylist() if table is not None else ():
        found.setdefault(line[RECORDING], []).append(line)
    return found


def _sources(recording: Recording, place: int, groups: Sequence[int] | None) -> Iterable[Source]:
    for part in recording.parts:
        yield Source(
            path=part.path,
            kind=kind_of(part.metadata),
            recording=place,
            group=place if groups is None else groups[place],
            table=part.rows_in_file,
        )


def _numbers(places: Sequence[int]) -> pa.Array:
    return column(Numbers(places), pa.int32(), len(places))


def _total(table: pa.Table) -> int:
    return pc.sum(table["count"]).as_py() or 0


def _blamed(recordings: Sequence[Recording], error: EngineError) -> Exception:
    """Return the error of the file that an engine could not read, by reading them one by one."""
    for recording in recordings:
        for part in recording.parts:
            if part.rows_in_file is None:
                # Raises what is wrong with it.
                _ = part.rows
    return damaged(recordings[0].path, str(error))
