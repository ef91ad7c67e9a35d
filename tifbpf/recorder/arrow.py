"""pyarrow as a recorder wants it: small, and without threads."""

from __future__ import annotations

import os
import sys

_ALLOCATOR = "JE_ARROW_MALLOC_CONF"
"""Configures the jemalloc that is part of pyarrow."""


def load() -> None:
    """Import pyarrow, before anything else does.

    Without numpy, which it does without, and which would take 12 MB. And without the thread of an allocator
    that is not used: what a thread is allowed, only it can give up.
    """
    sys.modules["numpy"] = None  # type: ignore[assignment]
    before = os.environ.get(_ALLOCATOR)
    os.environ[_ALLOCATOR] = "background_thread:false"
    import pyarrow  # noqa: F401 (is imported)

    # CMD gets the environment that we got.
    if before is None:
        del os.environ[_ALLOCATOR]
    else:
        os.environ[_ALLOCATOR] = before
