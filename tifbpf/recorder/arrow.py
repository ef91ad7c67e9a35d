"""pyarrow as a recorder wants it: small, and without threads."""

from __future__ import annotations

import os
import sys

_CLOUDS = ("azurefs", "gcsfs", "hdfs", "s3fs")
_ALLOCATOR = "JE_ARROW_MALLOC_CONF"
"""Configures the jemalloc that is part of pyarrow."""


def load() -> None:
    """Import pyarrow and what writes recordings by it, before anything else does; once is enough.

    Without numpy, which it does without, and which would take 12 MB, and without file systems elsewhere (4
    MB). And without the thread of an allocator that is not used: what a thread is allowed, only it can give
    up.
    """
    for name in ("numpy", *(f"pyarrow._{cloud}" for cloud in _CLOUDS)):
        sys.modules[name] = None  # type: ignore[assignment]
    before = os.environ.get(_ALLOCATOR)
    os.environ[_ALLOCATOR] = "background_thread:false"
    import pyarrow as pa

    # Arrow's own allocator keeps 4 MB more to itself; a recorder writes little, and lives long.
    pa.set_memory_pool(pa.system_memory_pool())
    import tifbpf.recording.tables  # noqa: F401 (is imported)

    # CMD gets the environment that we got.
    if before is None:
        del os.environ[_ALLOCATOR]
    else:
        os.environ[_ALLOCATOR] = before
