"""One exit in N, at random: what probes/exits.h draws how many exits to pass by with."""

from __future__ import annotations

_NUMBERS = 2**32
"""That bpf_get_prandom_u32() may return."""


def odds(one_in: int) -> tuple[int, ...]:
    """Return, for each binary digit of how many exits to pass by, how many of 2^32 numbers say that it is 1.

    How many is geometric: P(n) = (1 - q) q^n with q = 1 - 1 / N. As q^n is a product with a factor for each
    digit of n, the digits are independent, and digit k is 1 with a probability of x / (1 + x), x = q^(2^k).

    >>> odds(2)
    (1431655765, 858993459, 252645135, 16711935, 65535, 1)
    """
    found = []
    power = 1 - 1 / one_in
    while chance := round(_NUMBERS * power / (1 + power)):
        found.append(chance)
        power *= power
    return tuple(found)


def definitions(one_in: int) -> dict[str, int | str | None]:
    """Return the definitions that make programs sample; none where they look at every exit."""
    if one_in == 1:
        return {}
    return {"SAMPLE_ODDS": f"{{{','.join(f'{chance}U' for chance in odds(one_in))}}}"}
