"""Who adds up: what `--engine` names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tifbpf.engines.local import shared
from tifbpf.engines.model import Engine
from tifbpf.errors import TifbpfError
from tifbpf.text import printable

_LOCAL = "duckdb"
_DASK = "dask"


@contextmanager
def chosen(name: str) -> Iterator[Engine]:
    """Open the engine that `name` means, and close it again.

    Args:
        name: `duckdb`: in this process; `dask`: in processes of this machine; `dask:ADDRESS`: by the workers
            of that scheduler.

    Raises:
        TifbpfError: there is no such engine, it is not installed, or nobody answers at the address.
    """
    kind, colon, address = name.partition(":")
    if name == _LOCAL:
        yield shared()
    elif kind == _DASK and bool(colon) == bool(address):
        from tifbpf.engines.dask import DaskEngine

        engine = DaskEngine(address or None)
        try:
            yield engine
        finally:
            engine.close()
    else:
        raise TifbpfError(
            f"there is no engine {printable(name)}: give {_LOCAL}, {_DASK}, or {_DASK}:tcp://SCHEDULER:PORT"
        )
