"""Recordings as pandas frames."""

from __future__ import annotations

from tifbpf.analysis.recordings import Recordings, read

__all__ = ["Recordings", "read"]
