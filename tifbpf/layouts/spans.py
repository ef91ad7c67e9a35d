"""Which eras an entry of a data file holds for."""

from __future__ import annotations

import msgspec

from tifbpf.layouts import catalogue


class Span(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The eras from `since` to `until`, both included, or those in `eras`; all where none is given."""

    since: str | None = None
    until: str | None = None
    eras: tuple[str, ...] = ()

    def covers(self, era: str) -> bool:
        """Whether the entry holds for the era of that name.

        Raises:
            ValueError: the entry names an era that does not exist, or `era` is none.
        """
        order = catalogue.names()
        if self.eras:
            return order.index(era) in {order.index(name) for name in self.eras}
        first = order.index(self.since) if self.since else 0
        last = order.index(self.until) if self.until else len(order) - 1
        return first <= order.index(era) <= last
