"""What recordings come to: sums as plain values for reports, as pandas frames for the Python API."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tifbpf.analysis.comparison import Comparison, compare
    from tifbpf.analysis.recordings import Recordings, read

__all__ = ["Comparison", "Recordings", "compare", "read"]


def __getattr__(name: str) -> object:
    # A report needs no frames, and pandas takes longer to import than it to print.
    if name in ("Comparison", "compare"):
        from tifbpf.analysis import comparison

        return getattr(comparison, name)
    if name in ("Recordings", "read"):
        from tifbpf.analysis import recordings

        return getattr(recordings, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
