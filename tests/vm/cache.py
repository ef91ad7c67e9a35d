"""Kernels, their headers, and what it takes to boot them, unpacked once and kept outside the repository.

The directory may be deleted at any time. An entry is made beside its place and renamed into it, so what is
there is whole, and two runs at once fetch it once.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from tests.vm.archive import Archive, ArchiveError, natural
from tests.vm.locks import locked

_DATA = Path(__file__).with_name("kernels.toml")
_IMAGE = "linux-image-"
_HEADERS = "linux-headers-"


class Virtiofsd(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where virtiofsd comes from."""

    suite: str
    packages: tuple[str, ...]


class Known(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What kernels.toml says."""

    default: tuple[str, ...]
    workload: tuple[str, ...]
    rough: tuple[str, ...]
    headers: tuple[str, ...]
    suites: dict[str, str]
    kernels: dict[str, str]
    virtiofsd: Virtiofsd


class Kernel(msgspec.Struct, frozen=True):
    """A kernel that can be booted."""

    release: str
    """`uname -r`."""
    image: Path
    """Beside it, under lib/modules, are its modules, if the archive has them."""
    config: Path | None
    """None: the archive no longer has it."""


KNOWN = msgspec.toml.decode(_DATA.read_bytes(), type=Known)


def directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where things are kept, after the XDG base directory specification."""
    given = Path(environment.get("XDG_CACHE_HOME", ""))
    # Path.home() asks the password database where HOME is not set.
    return (given if given.is_absolute() else Path.home() / ".cache") / "tifbpf" / "vm"


def archive() -> Archive:
    """Return the archive of all suites."""
    return Archive(directory() / "apt", KNOWN.suites)


def reachable() -> bool:
    """Whether there is a mirror with kernels, or are kernels that were fetched before."""
    try:
        archive().refresh()
    except ArchiveError:
        return any((directory() / "kernels").glob("linux-image-*"))
    return True


def kernel(name: str) -> Kernel:
    """Return the newest kernel of that name in kernels.toml, or of that pattern of package names.

    Where no mirror answers, it is the newest of those that are here.

    Raises:
        ArchiveError: there is no such kernel, or it cannot be had.
    """
    source = archive()
    package = _newest(source, _pattern(name), "kernels")
    release = package.removeprefix(_IMAGE)

    def make(root: Path) -> None:
        # Since 6.19 an image is split: linux-base-* (configuration), linux-binary-*, linux-modules-*. Of a
        # superseded kernel the archive keeps linux-binary-* alone.
        source.unpack(source.parts(package, f"linux-*-{release}"), root)
        shutil.rmtree(root / "usr" / "share", ignore_errors=True)
        if (root / "usr" / "lib").exists() and not (root / "lib").exists():
            (root / "lib").symlink_to("usr/lib")
        # Empty where the archive has the image alone, so that nobody looks for modules elsewhere.
        (root / "lib" / "modules" / release).mkdir(parents=True, exist_ok=True)
        subprocess.run(["depmod", "-b", root, release], check=True, capture_output=True)

    root = entry(directory(), "kernels", package, make)
    # From 6.19 on they are beside the modules.
    modules = root / "lib" / "modules" / release
    places = {
        kind: [place for place in (root / "boot" / f"{kind}-{release}", modules / kind) if place.exists()]
        for kind in ("vmlinuz", "config")
    }
    if not places["vmlinuz"]:
        raise ArchiveError(f"there is no kernel in {package}")
    return Kernel(
        release=release,
        image=places["vmlinuz"][0],
        config=places["config"][0] if places["config"] else None,
    )


def headers(name: str) -> Path:
    """Return the arch directory of the headers package of that kernel, its common part beside it.

    Where no mirror answers, it is the newest of those that are here.

    Raises:
        ArchiveError: there is no such package, or it cannot be had.
    """
    source = archive()
    package = _newest(source, _pattern(name).replace(_IMAGE, _HEADERS, 1), "headers")

    def make(root: Path) -> None:
        source.unpack(source.parts(package, f"{_HEADERS}*-common*"), root)

    return entry(directory(), "headers", package, make) / "usr" / "src" / package


def _pattern(name: str) -> str:
    pattern = KNOWN.kernels.get(name, name)
    if not pattern.startswith(_IMAGE):
        known = ", ".join(KNOWN.kernels)
        raise ArchiveError(f"{name} is no kernel of {_DATA.name} ({known}) and no package {_IMAGE}*")
    return pattern


def _newest(source: Archive, pattern: str, kind: str) -> str:
    """Return the newest package that matches, or the newest of those that are here."""
    try:
        return source.newest(pattern)
    except ArchiveError:
        here = [path.name for path in (directory() / kind).glob(pattern)]
        if not here:
            raise
        return max(here, key=natural)


def virtiofsd() -> Path:
    """Return a directory for PATH that has virtiofsd.

    Raises:
        ArchiveError: it cannot be had.
    """
    wanted = KNOWN.virtiofsd

    def make(root: Path) -> None:
        source = archive()
        source.refresh()
        source.unpack([f"{name}/{wanted.suite}" for name in wanted.packages], root)
        final = directory() / "tools" / "virtiofsd"
        libraries = final / "usr" / "lib" / "x86_64-linux-gnu"
        program = root / "bin" / "virtiofsd"
        program.parent.mkdir()
        program.write_text(
            f"#!/bin/sh\nexec {libraries}/ld-linux-x86-64.so.2 --library-path {libraries}"
            f' {final}/usr/libexec/virtiofsd "$@"\n'
        )
        program.chmod(0o755)

    return entry(directory(), "tools", "virtiofsd", make) / "bin"


def entry(base: Path, kind: str, name: str, make: Callable[[Path], None]) -> Path:
    """Return the directory `base`/`kind`/`name`; `make` fills it if it is not there."""
    place = base / kind / name
    place.parent.mkdir(parents=True, exist_ok=True)
    with locked(base / "locks" / f"{kind}-{name}"):
        if not place.exists():
            with tempfile.TemporaryDirectory(prefix="new-", dir=base) as made:
                root = Path(made) / name
                root.mkdir()
                make(root)
                root.rename(place)
    return place
