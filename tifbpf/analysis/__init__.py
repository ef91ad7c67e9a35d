"""Recordings as pandas frames."""

from __future__ import annotations

from tifbpf.analysis.comparison import Comparison, compare
from tifbpf.analysis.recordings import Recordings, read

__all__ = ["Comparison", "Recordings", "compare", "read"]
