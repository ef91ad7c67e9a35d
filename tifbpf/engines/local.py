"""The engine of one machine: DuckDB, which reads the files itself, and only the columns that are asked for.

Of rows that are in memory already (segments of a recording that goes on) it sums the tables.
"""

from __future__ import annotations

import functools
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from tifbpf.engines import query as queries
from tifbpf.engines.model import EngineError
from tifbpf.engines.query import GROUP, RECORDING, SET, Keys, Query
from tifbpf.engines.source import Kind, Source, columns
from tifbpf.recording.columns import scalar
from tifbpf.recording.reader import Part, interned, parts_of
from tifbpf.recording.remote import Location, file_of

MEMORY = "600MB"
"""The most that DuckDB takes for sums; beyond, they go to a private temporary directory."""

_BELIEVERS = "statistics_propagation,filter_pushdown"
"""What makes DuckDB believe a file's statistics of least and greatest values: where these are wrong it leaves
rows out, and keys come back as others. No query of ours is faster by them."""
_ROWS = "rows_of"
_SUMS = "sums_of"


class LocalEngine:
    """Sums by DuckDB in this process."""

    name = "duckdb"

    def __init__(self, *, threads: int | None = None, memory: str = MEMORY) -> None:
        """Open an engine.

        Args:
            threads: how many it may use; None: one a CPU.
            memory: the most that it may take, e.g. `600MB`.
        """
        # What spills is as private as the recordings; nothing is loaded that did not come with DuckDB.
        self._spilled = tempfile.TemporaryDirectory(prefix="tifbpf-")
        settings: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "memory_limit": memory,
            "temp_directory": self._spilled.name,
            "preserve_insertion_order": False,
        }
        if threads is not None:
            settings["threads"] = threads
        self._connection = duckdb.connect(config=settings)
        self._connection.execute(f"SET disabled_optimizers = '{_BELIEVERS}'")

    def parts(self, paths: Sequence[Location]) -> list[Part]:
        """Return what the recordings at `paths` say about themselves, in their order.

        Raises:
            TifbpfError: as `tifbpf.recording.reader.parts_of`.
        """
        return interned(part for path in paths for part in parts_of(path))

    def sums(self, sources: Sequence[Source], query: Query) -> dict[Keys, pa.Table]:
        """Return the sums of `query` over the rows of `sources`, by its keys.

        Raises:
            EngineError: the rows cannot be read, or add up to more than 64 bits hold.
        """
        return split(query, self.partial(sources, query))

    def partial(self, sources: Sequence[Source], query: Query) -> pa.Table:
        """Return all sums of `query` as one table, which `combined` adds up with others of the same query.

        Raises:
            EngineError: as of `sums`.
        """
        cursor = self._connection.cursor()
        try:
            relations = []
            for number, (kind, those) in enumerate(_by_kind(sources).items()):
                for place, source in enumerate(those):
                    if source.table is not None:
                        name = f"table_{number}_{place}"
                        cursor.register(name, source.table)
                        relations.append(_relation(kind, [source], name))
                files = [source for source in those if source.table is None]
                if files:
                    listed = ", ".join(_literal(str(file_of(source.path))) for source in files)
                    relations.append(_relation(kind, files, f"read_parquet([{listed}])"))
            rows = f"({' UNION ALL BY NAME '.join(relations)}) AS {_ROWS}"
            return _answer(cursor, queries.of_rows(query, rows))
        finally:
            cursor.close()

    def combined(self, tables: Iterable[pa.Table], query: Query) -> pa.Table:
        """Return the sum of what `partial` returned.

        Raises:
            EngineError: as of `sums`.
        """
        cursor = self._connection.cursor()
        try:
            cursor.register(_SUMS, pa.concat_tables(tables))
            return _answer(cursor, queries.of_sums(query, _SUMS))
        finally:
            cursor.close()

    def added(self, table: pa.Table, keys: Mapping[str, str], sums: Mapping[str, str]) -> pa.Table:
        """Return a table's lines added up by keys, in the order of these.

        Args:
            table: what to add up.
            keys: the SQL of each of its columns, by the name that it gets.
            sums: likewise of what is wanted beside them.

        Raises:
            EngineError: as of `sums`.
        """
        wanted = ", ".join(f'{sql} AS "{name}"' for name, sql in {**keys, **sums}.items())
        places = ", ".join(str(place) for place in range(1, len(keys) + 1))
        by = f" GROUP BY {places} ORDER BY {places}" if keys else ""
        cursor = self._connection.cursor()
        try:
            cursor.register(_SUMS, table)
            return _answer(cursor, f"SELECT {wanted} FROM {_SUMS}{by}")
        finally:
            cursor.close()

    def close(self) -> None:
        """Give back what it holds."""
        self._connection.close()
        self._spilled.cleanup()


@functools.cache
def shared() -> LocalEngine:
    """Return the engine of this process."""
    return LocalEngine()


def split(query: Query, table: pa.Table) -> dict[Keys, pa.Table]:
    """Return the lines of an answer by the keys that they were summed by, in the order of the keys."""
    found = {}
    for keys in query.keys:
        lines = (
            table.filter(pc.equal(table[SET], scalar(query.place(keys)))) if len(query.keys) > 1 else table
        )
        lines = lines.select([*keys, *query.measures])
        # Whoever adds up in parallel answers in any order; a report must not depend on it.
        order = [(name, "ascending") for name in keys]
        found[keys] = lines.sort_by(order) if order else lines
    return found


def _answer(cursor: duckdb.DuckDBPyConnection, statement: str) -> pa.Table:
    try:
        return cursor.sql(statement).to_arrow_table()
    except (duckdb.Error, pa.ArrowException, UnicodeDecodeError) as error:
        raise EngineError(str(error).strip().split("\n")[0]) from error


def _by_kind(sources: Iterable[Source]) -> Mapping[Kind, list[Source]]:
    found: dict[Kind, list[Source]] = {}
    for source in sources:
        found.setdefault(source.kind, []).append(source)
    return found


def _relation(kind: Kind, sources: Sequence[Source], rows: str) -> str:
    known = ", ".join(f'{expression} AS "{name}"' for name, expression in columns(kind).items())
    numbers = ", ".join(
        f'{_of_file([getattr(source, name) for source in sources], rows)}::INTEGER AS "{column}"'
        for name, column in (("recording", RECORDING), ("group", GROUP))
    )
    return f"SELECT {numbers}, {known} FROM {rows}"


def _of_file(numbers: Sequence[int], rows: str) -> str:
    if len(set(numbers)) == 1:
        return str(numbers[0])
    if list(numbers) == list(range(len(numbers))):
        return "file_index"
    return f"list_extract([{', '.join(map(str, numbers))}], (file_index + 1)::INTEGER)"


def _literal(path: str) -> str:
    """Return the SQL of a path; what would be a pattern in it stands for itself."""
    plain = re.sub(r"[*?\[]", r"[\g<0>]", path)
    return "'" + plain.replace("'", "''") + "'"
