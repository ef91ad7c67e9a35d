"""What is asked of a kernel's image, be it a file or the kernel that runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol


class Span(Protocol):
    """A function's text."""

    @property
    def address(self) -> int:
        """Where it begins; 0 where that is hidden."""
        ...

    @property
    def size(self) -> int:
        """In bytes; 0 where that is not known."""
        ...


class Image(Protocol):
    """A kernel's text and symbols."""

    @property
    def source(self) -> str:
        """What it is, for messages."""
        ...

    @property
    def places(self) -> Mapping[str, Span]:
        """Functions by name: at least those of `symbols.names()` that there are."""
        ...

    def read(self, address: int, size: int) -> bytes:
        """Return text.

        Raises:
            OSError: there is none, or it cannot be read.
        """
        ...

    def names(self, addresses: Collection[int]) -> dict[int, str]:
        """Return the functions that begin at `addresses`, as far as they are known."""
        ...
