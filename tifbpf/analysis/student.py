"""Quantiles of Student's t, for whole degrees of freedom.

The finite sums of Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4. They are all
that scipy would be needed for here, which is as large as everything else that tifbpf installs.
"""

from __future__ import annotations

import functools
import math

_HALVINGS = 60
"""Of an angle below pi/2: what is left is less than a double can tell."""


def within(angle: float, freedom: int) -> float:
    """Return P(|t| <= tan(angle) sqrt(freedom)).

    >>> within(math.pi / 4, 1)
    0.5
    """
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = 0.0
    for power in range(odd, freedom - 1, 2):
        total += term
        term *= cosine * cosine * (power + 1) / (power + 2)
    return (angle + sine * total) * 2 / math.pi if odd else sine * total


@functools.cache
def quantile(confidence: float, freedom: int) -> float:
    """Return the t that |t| stays below with a probability of `confidence`.

    >>> round(quantile(0.95, 1), 3), round(quantile(0.95, 10), 3), round(quantile(0.99, 30), 3)
    (12.706, 2.228, 2.75)
    """
    low, high = 0.0, math.pi / 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if within(middle, freedom) < confidence:
            low = middle
        else:
            high = middle
    return math.tan(low) * math.sqrt(freedom)
