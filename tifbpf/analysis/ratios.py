"""Sums over sums with their uncertainty, and how two of them compare.

The intervals of a recording are what is sampled. A share is a ratio of two sums over them (slow exits over
exits), and so is a rate (slow exits over seconds). Neighbouring intervals resemble each other, so the
variance of a ratio is the long-run variance of the residuals `events - ratio * base`. It is estimated by
projecting them on cosines (equal-weighted cosine estimator, EWC), the lowest `0.4 n^(2/3)` of them, whose
number is then that of the degrees of freedom of a Student t: E. Lazarus, D. J. Lewis, J. H. Stock, M. W.
Watson, "HAR Inference: Recommendations for Practice", Journal of Business & Economic Statistics 36(4),
2018. They show that it comes nearer to what it promises than Newey-West with normal quantiles; and against
a bootstrap of blocks, there is no length of blocks to choose, and no random number.

Whether two ratios differ is told by Fieller's interval for after / before (E. C. Fieller, "Some Problems in
Interval Estimation", Journal of the Royal Statistical Society B 16(2), 1954), which knows that the one
before is uncertain too, and has no upper end where that may be 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from tifbpf.analysis import student

Sums = NDArray[np.float64]
"""One number for each interval, in the order of time."""

FEWEST_INTERVALS = 12
"""Below, one cosine is left: an interval of 12.7 standard errors, which decides nothing."""


class Verdict(StrEnum):
    """What can be said of a difference."""

    CHANGED = "changed"
    """The interval of the change excludes 0, and is not within the band."""
    UNCHANGED = "unchanged"
    """The interval of the change lies within the band."""
    TOO_LITTLE_DATA = "too little data"
    """Neither."""
    NOT_COMPARABLE = "not comparable"
    """One side is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A sum over a sum."""

    events: int
    base: float
    variance: float
    """Of `value`."""
    most: float
    """What `value` cannot exceed: 1 for a share."""
    freedom: int
    """Degrees of freedom of the variance; 0 where there are too few intervals for one."""

    @property
    def value(self) -> float:
        """The ratio itself."""
        return self.events / self.base

    def interval(self, confidence: float) -> tuple[float, float] | None:
        """Return between what it lies; None where there are too few intervals to tell."""
        if not self.freedom:
            return None
        half = student.quantile(confidence, self.freedom) * math.sqrt(self.variance)
        return max(self.value - half, 0.0), min(self.value + half, self.most)


def ratio(events: Sums, base: Sums, *, of_same: bool, stands_for: float = 1.0) -> Ratio | None:
    """Return sum(events) / sum(base); None if the base is nothing.

    Args:
        events: of each interval.
        base: of each interval, exits or seconds.
        of_same: events are among those that the base counts, so the ratio is a share.
        stands_for: for how many each event that was seen was counted, where not all were looked at.
    """
    total, whole = float(events.sum()), float(base.sum())
    if whole <= 0:
        return None
    freedom = int(0.4 * len(events) ** (2 / 3)) if len(events) >= FEWEST_INTERVALS else 0
    # Counting is random by itself: no fewer than so many would be off, however even the intervals are, and a
    # count of 0 does not mean that there could be none.
    seen = max(total, stands_for)
    counting = stands_for * seen * (max(whole - total, stands_for) / whole if of_same else 1.0)
    spread = max(_long_run_variance(events - total / whole * base, freedom), counting)
    return Ratio(
        events=round(total),
        base=whole,
        variance=spread / whole**2,
        most=1.0 if of_same else math.inf,
        freedom=freedom,
    )


def _long_run_variance(residuals: Sums, cosines: int) -> float:
    """Return the variance of the sum of `residuals`, by as many cosines."""
    if not cosines:
        return 0.0
    # sum(residuals * cos(pi k (i + 1/2) / n)), the DCT-II, from the Fourier transform of both halves of an
    # even series: hundreds of cosines of a fleet's 100,000 intervals would not fit into memory side by side.
    waves = np.arange(1, cosines + 1)
    transformed = np.fft.rfft(np.concatenate([residuals, residuals[::-1]]))[waves]
    projected = (transformed * np.exp(-0.5j * np.pi * waves / len(residuals))).real / 2
    return float(2 * np.mean(projected**2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """after / before - 1."""

    value: float | None
    """None where there was none before."""
    low: float
    high: float | None
    """None where there is no upper end."""


def change(before: Ratio, after: Ratio, confidence: float) -> Change | None:
    """Return how much more the one is, with its interval; None where there are too few intervals to tell."""
    if not (before.freedom and after.freedom):
        return None
    value = after.value / before.value - 1 if before.events else None
    t = student.quantile(confidence, _freedom(before, after))
    low, high = _fieller(before, after, t * t)
    return Change(value=value, low=max(low, 0.0) - 1, high=None if high is None else high - 1)


def _freedom(before: Ratio, after: Ratio) -> int:
    """Return the degrees of freedom of the difference's variance (Welch and Satterthwaite), rounded down."""
    a, b = before.variance, after.variance
    return int((a + b) ** 2 / (a**2 / before.freedom + b**2 / after.freedom))


def _fieller(before: Ratio, after: Ratio, t2: float) -> tuple[float, float | None]:
    """Return the ratios r for which (after - r before)^2 <= t2 (var(after) + r^2 var(before))."""
    a = before.value**2 - t2 * before.variance
    b = before.value * after.value
    c = after.value**2 - t2 * after.variance
    root = math.sqrt(max(b * b - a * c, 0.0))
    if a > 0:
        return (b - root) / a, (b + root) / a
    # There may have been none before: whatever is more than the one root will do, or everything.
    return (c / (b + root) if c > 0 else 0.0), None


def verdict(found: Change | None, band: float) -> Verdict:
    """Return what `found` says.

    Args:
        found: the change.
        band: the greatest change, up or down, that still counts as none.
    """
    if found is None:
        return Verdict.TOO_LITTLE_DATA
    if found.high is not None and -band <= found.low and found.high <= band:
        return Verdict.UNCHANGED
    if found.low > 0 or (found.high is not None and found.high < 0):
        return Verdict.CHANGED
    return Verdict.TOO_LITTLE_DATA
