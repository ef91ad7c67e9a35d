"""The engine of many machines: the local one in every worker of a Dask cluster.

Files are read and summed in batches, and the sums of batches are added up in a tree, all by workers; nobody
has more than the sums of some batches at a time. What a worker that dies had done, others do again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import logging
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from tifbpf.engines.local import LocalEngine, split
from tifbpf.engines.model import EngineError
from tifbpf.engines.query import Keys, Query
from tifbpf.engines.source import Source
from tifbpf.errors import NoExtraError, TifbpfError
from tifbpf.recording.reader import Part, interned, parts_of
from tifbpf.recording.remote import Location
from tifbpf.text import printable

_BATCH = 64
"""Files of a task at most: a scheduler keeps what is known of every task."""
_TASKS = 4
"""Of each worker at least, so that none waits for the slowest."""
_FAN_IN = 8
"""Sums that are added up at once."""
_PATIENCE = "10s"
"""For the scheduler's answer."""
_MEMORY = "400MB"
"""Of each worker's DuckDB."""

_PAGES = ("distributed.scheduler.http.routes", "distributed.worker.http.routes")

_T = TypeVar("_T")


class DaskEngine:
    """Sums by the workers of a Dask cluster."""

    name = "dask"

    def __init__(self, address: str | None = None, *, workers: int | None = None) -> None:
        """Join a cluster.

        Args:
            address: of its scheduler, e.g. `tcp://scheduler:8786`. It and its workers run what they are sent,
                and this process what it gets back: name none that is not trusted. None: processes of this
                machine, which nobody else can reach.
            workers: how many processes then; None: one a CPU.

        Raises:
            NoExtraError: Dask is not installed.
            TifbpfError: nobody answers at the address.
        """
        try:
            distributed: Any = importlib.import_module("distributed")
        except ImportError as error:
            raise NoExtraError(
                "--engine dask needs what `pip install 'tifbpf[fleet]'` brings; install it, or leave it out"
            ) from error
        # A worker that dies is no event: its work is done again.
        for name in ("distributed", "distributed.nanny", "distributed.scheduler", "distributed.worker"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._opened = contextlib.ExitStack()
        where: Any = address
        if address is None:
            # With certificates of its own: others on this machine reach its ports too.
            where = self._opened.enter_context(self._here(distributed, workers))
        try:
            self._client = self._opened.enter_context(distributed.Client(where, timeout=_PATIENCE))
        except (OSError, ValueError, TypeError) as error:
            raise TifbpfError(
                f"no scheduler of Dask answers at {printable(str(address))}: start one (`dask scheduler`), "
                "or leave its address out"
            ) from error

    def _here(self, distributed: Any, workers: int | None) -> Any:
        config = importlib.import_module("dask.config")
        # Pages for a browser, which would tell anybody what is read here.
        self._opened.enter_context(config.set({key: [] for key in _PAGES}))
        return distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            security=True,
            silence_logs=logging.CRITICAL,
        )

    @property
    def client(self) -> Any:
        """The `distributed.Client`."""
        return self._client

    def parts(self, paths: Sequence[Location]) -> list[Part]:
        """Return what the recordings at `paths` say about themselves, read by the workers.

        Raises:
            TifbpfError: as `tifbpf.recording.reader.parts_of`.
        """
        relative = all(isinstance(path, Path) and not path.is_absolute() for path in paths)
        try:
            found = self._client.gather(self._spread(_parts, [_anywhere(path) for path in paths]))
        except TifbpfError as error:
            # It begins with the name of the file.
            here = f"{printable(str(Path.cwd()))}/"
            raise type(error)(str(error).removeprefix(here if relative else "")) from error
        parts = interned(part for batch in found for part in batch)
        if relative:
            return [dataclasses.replace(part, path=_from_here(part.path)) for part in parts]
        return parts

    def sums(self, sources: Sequence[Source], query: Query) -> dict[Keys, pa.Table]:
        """Return the sums of `query` over the rows of `sources`, by its keys.

        Raises:
            EngineError: the rows cannot be read, or add up to more than 64 bits hold; or workers die again
                and again.
        """
        anywhere = [dataclasses.replace(source, path=_anywhere(source.path)) for source in sources]
        partial = self._spread(_partial, anywhere, query=query)
        while len(partial) > 1:
            partial = [
                self._client.submit(_combined, some, query=query, pure=False)
                for some in _batches(partial, _FAN_IN)
            ]
        return split(query, self._result(partial[0]))

    def _result(self, future: Any) -> pa.Table:
        from distributed.scheduler import KilledWorker

        try:
            return future.result()
        except KilledWorker as error:
            raise EngineError("several workers of Dask died of it, most likely for want of memory") from error

    def _spread(self, work: Callable[..., _T], items: Sequence[Any], **given: Any) -> list[Any]:
        """Let workers do the same with batches of items; return the futures."""
        workers = sum(self._client.nthreads().values()) or 1
        size = max(1, min(_BATCH, -(-len(items) // (workers * _TASKS))))
        return [
            self._client.submit(work, some, **given, pure=False) for some in _batches(items, size) or [[]]
        ]

    def close(self) -> None:
        """Leave the cluster; end its processes where they are ours."""
        self._opened.close()


def _anywhere(path: Location) -> Location:
    """Return what a path means to a process that has another working directory."""
    return path.absolute() if isinstance(path, Path) else path


def _from_here(path: Location) -> Location:
    here = Path.cwd()
    return path.relative_to(here) if isinstance(path, Path) and path.is_relative_to(here) else path


def _batches(items: Sequence[_T], size: int) -> list[Sequence[_T]]:
    return [items[first : first + size] for first in range(0, len(items), size)]


@cache
def _engine() -> LocalEngine:
    return LocalEngine(threads=1, memory=_MEMORY)


def _parts(paths: Sequence[Location]) -> list[Part]:
    found = [part for path in paths for part in parts_of(path)]
    for part in found:
        part.verify()
    # What parts share is sent once, and where their pages are not at all.
    return interned(dataclasses.replace(part, chunks=None) for part in found)


def _partial(sources: Sequence[Source], *, query: Query) -> pa.Table:
    return _engine().partial(sources, query)


def _combined(tables: Sequence[pa.Table], *, query: Query) -> pa.Table:
    return _engine().combined(tables, query)
