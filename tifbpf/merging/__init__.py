"""Several recordings of one host become one: downsampled in time, never in words and never in counts.

`merge` is what `tifbpf merge` does; everything else here is a part of it.
"""

from tifbpf.merging.merge import Left, Options, Outcome, Result, merge

__all__ = ["Left", "Options", "Outcome", "Result", "merge"]
