"""What the kernel counted of this thread."""

from __future__ import annotations

import resource


def involuntary_switches() -> int:
    """Return how often it lost the CPU while it could have gone on."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw
