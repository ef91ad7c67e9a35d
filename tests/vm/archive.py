"""Debian's archive, through an apt of our own: the machine's sources, lists and packages stay as they are."""

from __future__ import annotations

import fnmatch
import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from tests.vm.locks import locked

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_FRESH = 3600.0
"""Seconds for which lists are not asked for again."""


class ArchiveError(Exception):
    """What is wanted cannot be had from the archive. One line."""


def mirrors() -> dict[str, str]:
    """Return the address of each Debian archive that the machine's own apt sources name, by its directory.

    Those are `debian` and `debian-security` on every mirror.
    """
    done = _run(["apt-get", "indextargets", "--format", "$(REPO_URI)"])
    addresses = {line.rstrip("/") for line in done.stdout.splitlines()}
    return {Path(urlsplit(address).path).name: address for address in sorted(addresses)}


class Archive:
    """Several suites together, their lists and signatures checked by apt, kept in a directory."""

    def __init__(self, directory: Path, suites: Mapping[str, str]) -> None:
        """Take the directory for the lists, and suites with the archive that each is in."""
        self._directory = directory
        self._suites = suites
        self._said = ""

    def newest(self, pattern: str) -> str:
        """Return the newest package whose name matches.

        Raises:
            ArchiveError: none does.
        """
        self.refresh()
        names = self._apt("apt-cache", "pkgnames", pattern.partition("*")[0]).splitlines()
        matching = self._available(fnmatch.filter(names, pattern))
        if not matching:
            raise ArchiveError(
                f"no package of {', '.join(self._suites)} matches {pattern}. {self._said}".strip()
            )
        return max(matching, key=natural)

    def _available(self, names: Sequence[str]) -> list[str]:
        """Return those of `names` that are more than a name in another package's dependencies."""
        if not names:
            return []
        shown = self._apt("apt-cache", "policy", *names)
        return re.findall(r"^(\S+):\n  Installed: .*\n  Candidate: (?!\(none\))", shown, re.MULTILINE)

    def parts(self, package: str, pattern: str) -> list[str]:
        """Return `package`, and those that it depends on, that match, and that the archive has."""
        shown = self._apt("apt-cache", "show", "--no-all-versions", package)
        depends = re.search(r"^Depends: (.*)$", shown, re.MULTILINE)
        names = re.findall(r"linux-[^\s,|()]+", depends[1] if depends else "")
        return [package, *self._available(fnmatch.filter(names, pattern))]

    def unpack(self, packages: Sequence[str], into: Path) -> None:
        """Download packages (`name` or `name/suite`), and unpack them below `into`.

        Raises:
            ArchiveError: a download failed, or its signature is wrong.
        """
        debs = into / "debs"
        debs.mkdir()
        self._apt("apt-get", "download", "-q", *packages, directory=debs)
        for deb in sorted(debs.iterdir()):
            _run(["dpkg-deb", "-x", str(deb), str(into)])
            deb.unlink()
        debs.rmdir()

    def refresh(self) -> None:
        """Have lists that are an hour old at most; older ones where no mirror answers.

        Raises:
            ArchiveError: there are none at all.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        stamp = self._directory / "stamp"
        with locked(self._directory / "lock"):
            if stamp.exists() and time.time() - stamp.stat().st_mtime < _FRESH:
                return
            self._write_sources()
            # One missing suite (they are archived in the end) must not hide the others.
            try:
                self._apt("apt-get", "update", "-q")
            except ArchiveError as error:
                self._said = str(error)
            if not any(self._lists.glob("*_Packages*")):
                raise ArchiveError(f"no package lists: {self._said}")
            stamp.touch()

    @property
    def _lists(self) -> Path:
        return self._directory / "state" / "lists"

    @property
    def _sources(self) -> Path:
        return self._directory / "sources.list"

    def _write_sources(self) -> None:
        hosts = mirrors()
        lines = [
            f"deb [arch=amd64 signed-by={KEYRING}] {hosts[archive]} {suite} main\n"
            for suite, archive in self._suites.items()
            if archive in hosts
        ]
        if not lines:
            raise ArchiveError("apt's sources name no Debian mirror; kernels for the guests come from one")
        (self._lists / "partial").mkdir(parents=True, exist_ok=True)
        (self._directory / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
        (self._directory / "status").touch()
        self._sources.write_text("".join(lines))

    def _apt(self, command: str, *arguments: str, directory: Path | None = None) -> str:
        options = {
            "Dir::Etc::sourcelist": self._sources,
            "Dir::Etc::sourceparts": "-",
            "Dir::Etc::preferences": "-",
            "Dir::Etc::preferencesparts": "-",
            "Dir::State": self._directory / "state",
            "Dir::State::status": self._directory / "status",
            "Dir::Cache": self._directory / "cache",
            "APT::Architecture": "amd64",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
        }
        given = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return _run([command, *given, *arguments], directory).stdout


def natural(name: str) -> list[tuple[str, int]]:
    """Return a key that sorts 6.12.9 before 6.12.100."""
    return [(text, int(number or 0)) for text, number in re.findall(r"(\D*)(\d*)", name)]


def _run(command: Sequence[str], directory: Path | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        raise ArchiveError(f"{command[0]} failed: {last}")
    return done
