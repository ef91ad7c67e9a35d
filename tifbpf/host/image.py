"""The text and the symbols of the kernel that runs."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Self

from tifbpf.host import kallsyms
from tifbpf.host.kallsyms import Place
from tifbpf.host.text import KernelText


class RunningImage:
    """Reads kernel text, patched as it is, until `close()` or the end of a `with`."""

    def __init__(self, places: Mapping[str, Place], *, every_name: bool) -> None:
        """Open it.

        Args:
            places: what kallsyms said of the functions of interest.
            every_name: name other functions too, by one more pass over kallsyms.

        Raises:
            OSError: the kernel refused.
            NoLibbpfError: there is no libbpf.
        """
        self.source = f"the running kernel {os.uname().release}"
        self.places = places
        self._every_name = every_name
        self._text = KernelText()

    def close(self) -> None:
        """Stop reading."""
        self._text.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self, address: int, size: int) -> bytes:
        """Return text.

        Raises:
            OSError: there is none, or it cannot be read.
        """
        return self._text.read(address, size)

    def names(self, addresses: Collection[int]) -> dict[int, str]:
        """Return the functions that begin at `addresses`."""
        return kallsyms.names(addresses) if self._every_name else {}
