"""Which TIF and syscall_work bits send x86-64 Linux exits down the slowpath, and how often."""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tifbpf.analysis import Comparison, Recordings, compare, read

__all__ = ["Comparison", "Recordings", "__version__", "compare", "read"]


def __getattr__(name: str) -> object:
    # pandas takes a quarter of a second to import; `tifbpf --help` must not wait for it.
    if name in ("Comparison", "Recordings", "compare", "read"):
        from tifbpf import analysis

        return getattr(analysis, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
