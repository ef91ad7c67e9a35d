"""The configuration that the running kernel was built with."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterable
from pathlib import Path

import msgspec


class KernelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The options that are set, without `CONFIG_`: `y`, `m`, a number, or a string without its quotes."""

    options: dict[str, str]
    source: str
    """The file."""

    def has(self, option: str) -> bool:
        """Whether it is built in or a module."""
        return self.options.get(option) in ("y", "m")


def candidates(release: str) -> tuple[Path, ...]:
    """Return where the configuration of the running kernel, `uname -r` = `release`, may be."""
    return (
        Path("/proc/config.gz"),
        Path(f"/boot/config-{release}"),
        Path(f"/lib/modules/{release}/config"),
        Path(f"/lib/modules/{release}/build/.config"),
        Path(f"/usr/lib/ostree-boot/config-{release}"),
    )


def read(paths: Iterable[Path] | None = None) -> KernelConfig | None:
    """Return the first configuration that can be read; None if none can."""
    for path in candidates(os.uname().release) if paths is None else paths:
        try:
            data = path.read_bytes()
            text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
        except (OSError, EOFError, zlib.error, UnicodeDecodeError):
            continue
        if options := parse(text):
            return KernelConfig(options=options, source=str(path))
    return None


def parse(text: str) -> dict[str, str]:
    """Return the options that a .config sets; `# CONFIG_X is not set` is absent."""
    options = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and name.startswith("CONFIG_"):
            options[name.removeprefix("CONFIG_")] = value.strip().strip('"')
    return options
