"""The layouts that come with tifbpf: one data file per era, and the index that finds it.

Only the index (data/eras.toml) and one era file are parsed to look up a kernel.
"""

from __future__ import annotations

import functools
from pathlib import Path

import msgspec

from tifbpf.errors import UnknownKernelError
from tifbpf.layouts import releases
from tifbpf.layouts.model import Bit, Layout, Mask, Tier
from tifbpf.layouts.releases import Era

_DATA = Path(__file__).with_name("data")


class _Tree(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    release: str
    origin: str
    caveat: str = ""


class _Mask(Mask, frozen=True, kw_only=True, forbid_unknown_fields=True):
    members: tuple[str, ...]


class _EraFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    notes: tuple[str, ...] = ()
    sources: dict[str, str]
    trees: tuple[_Tree, ...]
    bits: tuple[Bit, ...]
    masks: tuple[_Mask, ...]
    tiers: tuple[Tier, ...]

    def layout(self) -> Layout:
        """Return the layout, its sources spelled out."""
        replace = msgspec.structs.replace
        return Layout(
            name=self.name,
            releases=tuple(dict.fromkeys(tree.release for tree in self.trees)),
            bits=tuple(replace(bit, source=self._spell(bit.source)) for bit in self.bits),
            masks=tuple(
                Mask(name=mask.name, word=mask.word, value=mask.value, source=self._spell(mask.source))
                for mask in self.masks
            ),
            tiers=tuple(
                msgspec.structs.replace(tier, source=self._spell(tier.source)) for tier in self.tiers
            ),
            source="; ".join(f"{tree.release}: {tree.origin}" for tree in self.trees),
            notes=(*self.notes, *(f"{tree.release}: {tree.caveat}" for tree in self.trees if tree.caveat)),
        )

    def _spell(self, source: str) -> str:
        return source.format_map(self.sources)


@functools.cache
def eras() -> tuple[Era, ...]:
    """Return the index, oldest era first."""

    class _Index(msgspec.Struct, forbid_unknown_fields=True):
        eras: tuple[Era, ...]

    return msgspec.toml.decode((_DATA / "eras.toml").read_bytes(), type=_Index).eras


def names() -> tuple[str, ...]:
    """Return the names of all eras, oldest first."""
    return tuple(era.name for era in eras())


@functools.cache
def load(name: str) -> Layout:
    """Return the layout of the era `name`.

    Raises:
        UnknownKernelError: no such era.
        ValueError: the data file contradicts itself: a mask's members do not make its value.
    """
    if name not in names():
        raise UnknownKernelError(f"no layout called {name!r}: there are {', '.join(names())}")
    file = msgspec.toml.decode((_DATA / f"{name}.toml").read_bytes(), type=_EraFile)
    layout = file.layout()
    for mask in file.masks:
        if layout.names(mask.word, mask.value) != mask.members:
            raise ValueError(f"{name}.toml: {mask.name} is {mask.value:#x}, which its members do not make")
    return layout


def for_kernel(version: str) -> Layout:
    """Return the layout that the release number `version` points to: `3.13`, `6.18.44`, `6.12-rt`.

    The last of its notes says how sure that is where the very release was not read. For a kernel that runs,
    `establish` asks the kernel instead.

    Raises:
        UnknownKernelError: no release number, or none that a layout is known for.
    """
    placed = releases.place(releases.parse(version), eras())
    layout = load(placed.era)
    if placed.note is None:
        return layout
    return msgspec.structs.replace(layout, notes=(*layout.notes, placed.note))
