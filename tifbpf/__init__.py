"""Which TIF and syscall_work bits send x86-64 Linux exits down the slowpath, and how often."""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tifbpf.analysis import Recordings, read

__all__ = ["Recordings", "__version__", "read"]


def __getattr__(name: str) -> object:
    # pandas takes a quarter of a second to import; `tifbpf --help` must not wait for it.
    if name in ("read", "Recordings"):
        from tifbpf import analysis

        return getattr(analysis, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
