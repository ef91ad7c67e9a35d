"""Kernel release numbers, and which era the trees that were read put them in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec

from tifbpf.errors import UnknownKernelError

_RELEASE = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?(.*)", re.ASCII | re.DOTALL)
_RT = re.compile(r"(?:^|[-.+_~\d])(?:rt\d*|realtime)(?:$|[-.+_~])")

MAINLINE_RT = (6, 12)
"""The first mainline release that x86 could build with PREEMPT_RT.

Before it RT is a patch, which numbers its NEED_RESCHED_LAZY as it likes; after it RT has the bits of every
other kernel (TIF_NEED_RESCHED_LAZY came to mainline in 6.13).
"""


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A release as given: `3.13`, `6.18.44`, `6.12-rt`, or a whole `uname -r`."""

    major: int
    minor: int
    patch: int | None = None
    """None where it is not said: `6.1`, or the `6.1.0-56-amd64` of a distribution that freezes it at 0."""
    rt: bool = False

    @property
    def line(self) -> tuple[int, int]:
        """The mainline release that it descends from."""
        return self.major, self.minor

    @property
    def key(self) -> tuple[int, int, int]:
        """What releases are ordered by."""
        return self.major, self.minor, self.patch or 0

    def __str__(self) -> str:
        patch = "" if self.patch is None else f".{self.patch}"
        return f"{self.major}.{self.minor}{patch}{'-rt' if self.rt else ''}"


class Era(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of data/eras.toml."""

    name: str
    releases: tuple[str, ...] = ()
    """Releases without PREEMPT_RT whose trees were read."""
    rt: tuple[str, ...] = ()
    """The same for builds with PREEMPT_RT."""


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """The era that a release number alone points to."""

    era: str
    note: str | None = None
    """How sure that is; None where the very release was read."""


def parse(text: str) -> Release:
    """Read a release number.

    >>> str(parse("6.12-rt")), str(parse("6.18.44")), str(parse("5.10.0-46-rt-amd64"))
    ('6.12-rt', '6.18.44', '5.10-rt')

    Raises:
        UnknownKernelError: no release number.
    """
    found = _RELEASE.fullmatch(text.strip())
    if not found:
        raise UnknownKernelError(f"no kernel release: {text!r}; give one such as 6.1, 6.18.44 or 6.12-rt")
    major, minor, patch, rest = found.groups()
    frozen = patch is not None and int(patch) == 0 and re.match(r"-\d", rest)
    return Release(
        major=int(major),
        minor=int(minor),
        patch=None if patch is None or frozen else int(patch),
        rt=bool(_RT.search(rest)),
    )


def place(release: Release, eras: Sequence[Era]) -> Placed:
    """Return the era that `release` belongs to, by the trees nearest to it.

    A release between two trees that agree has their era. Between two that differ it has the earlier one's,
    and the note says so. Within a stable series only trees of that series count where there are any.

    Raises:
        UnknownKernelError: older or newer than every tree, or an RT patch that was not read.
    """
    wants_rt = release.rt and release.line <= MAINLINE_RT
    reads = sorted(_reads(eras, rt=wants_rt), key=lambda read: read[0].key)
    series = [read for read in reads if read[0].line == release.line]
    if series:
        return _in_series(release, series)
    if wants_rt:
        raise UnknownKernelError(
            f"no layout for {release}: the RT patch of {release.major}.{release.minor} was not read (read: "
            f"{', '.join(dict.fromkeys(f'{read.major}.{read.minor}' for read, _ in reads))}); "
            "give the headers of that build with --headers DIR"
        )
    return _between_series(release, reads)


def _reads(eras: Sequence[Era], *, rt: bool) -> Iterator[tuple[Release, str]]:
    for era in eras:
        for text in era.rt if rt else era.releases:
            yield parse(text), era.name


def _in_series(release: Release, series: list[tuple[Release, str]]) -> Placed:
    names = list(dict.fromkeys(era for _, era in series))
    if release.patch is None:
        if len(names) == 1:
            return Placed(era=names[0])
        changes = ", ".join(f"from {read} on {era}" for read, era in _firsts(series))
        return Placed(
            era=names[0],
            note=f"{release} has several layouts ({changes}); the first is taken",
        )
    below = [read for read in series if read[0].key <= release.key]
    above = [read for read in series if read[0].key >= release.key]
    if below and below[-1][0].key == release.key:
        return Placed(era=below[-1][1])
    if not below:
        first, era = above[0]
        return Placed(
            era=era, note=f"{release} was not read; {first}, the next of its series, has this layout"
        )
    last, era = below[-1]
    if above and above[0][1] != era:
        after, later = above[0]
        return Placed(
            era=era,
            note=f"{release} was not read; {last} has this layout, but {after} has that of {later}",
        )
    if above:
        return Placed(era=era, note=f"{release} was not read; {last} and {above[0][0]} have this layout")
    return Placed(era=era, note=f"{release} was not read; {last}, before it in its series, has this layout")


def _firsts(series: list[tuple[Release, str]]) -> list[tuple[Release, str]]:
    changes = [later for before, later in pairwise(series) if before[1] != later[1]]
    return [series[0], *changes]


def _between_series(release: Release, reads: list[tuple[Release, str]]) -> Placed:
    # A series begins at its mainline release; what stable added to it later is no mark for its successors.
    begins: dict[tuple[int, int], tuple[Release, str]] = {}
    for read in reads:
        begins.setdefault(read[0].line, read)
    below = [read for line, read in begins.items() if line < release.line]
    above = [read for line, read in begins.items() if line > release.line]
    if not below or not above:
        raise UnknownKernelError(
            f"no layout for {release}: the trees that were read go from {reads[0][0]} to {reads[-1][0]}; "
            "give the headers of that build with --headers DIR"
        )
    (before, era), (after, later) = below[-1], above[0]
    if era == later:
        return Placed(era=era, note=f"{release} was not read; {before} and {after} have this layout")
    return Placed(
        era=era,
        note=f"{release} was not read; {before} has this layout, but {after} has that of {later}",
    )
