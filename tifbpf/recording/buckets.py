"""The buckets of the column `latency_log2`: powers of two."""

from __future__ import annotations


def bucket(ns: int) -> int:
    """Return the bucket of a time: floor(log2(ns)), 0 for 0.

    >>> bucket(0), bucket(1), bucket(2), bucket(2047), bucket(2048)
    (0, 0, 1, 10, 11)
    """
    return max(ns.bit_length() - 1, 0)


def bounds(number: int) -> tuple[int, int]:
    """Return the shortest and the longest time that are in a bucket, in ns.

    >>> bounds(0), bounds(1), bounds(10)
    ((0, 1), (2, 3), (1024, 2047))
    """
    return (1 << number if number else 0), (2 << number) - 1
