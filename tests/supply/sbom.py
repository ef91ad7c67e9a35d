"""`make sbom`: everything that a recorder is made of, as CycloneDX.

What is locked for recording and for reports with charts, by the hashes of the lock file; what the
distribution brings (bcc, libbpf), by the version that is installed; and the BPF programs, by the hashes of
their sources.
The same input makes the same bytes: no time, no random number.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import uuid
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

import tifbpf
from tests.supply import licences, locks

DEBIAN = {
    "python3-bpfcc": "Apache-2.0",
    "libbpfcc": "Apache-2.0",
    "libbpf1": "LGPL-2.1-only OR BSD-2-Clause",
}
"""Packages of Debian's that a recorder loads; their licences by /usr/share/doc/*/copyright."""
PROGRAMS = "GPL-2.0-only"
LICENCE = "GPL-2.0-or-later"


def bom() -> Bom:
    """Return the list."""
    made = Bom()
    us = _component("tifbpf", tifbpf.__version__, LICENCE, kind=ComponentType.APPLICATION)
    made.metadata.component = us
    locked = [_locked(one) for one in locks.read(locks.HTML).values() if one.applies]
    parts = [*locked, *_of_debian(), *_programs()]
    for part in parts:
        made.components.add(part)
    made.register_dependency(us, parts)
    made.metadata.timestamp = None
    made.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, " ".join(sorted(str(part.bom_ref) for part in parts)))
    return made


def _component(
    name: str,
    version: str | None,
    licence: str,
    *,
    kind: ComponentType = ComponentType.LIBRARY,
    purl: PackageURL | None = None,
    **rest: object,
) -> Component:
    made: License = LicenseFactory().make_from_string(licence)
    return Component(
        name=name,
        version=version,
        type=kind,
        licenses=[made],
        purl=purl,
        bom_ref=str(purl) if purl else f"{name}@{version}" if version else name,
        **rest,
    )


def _locked(one: locks.Locked) -> Component:
    return _component(
        one.name,
        one.version,
        licences.of(one.name),
        purl=PackageURL("pypi", name=one.name, version=one.version),
        # Of every file of that version, as in the lock: which one is installed depends on the machine.
        properties=[Property(name="tifbpf:sha256", value=value) for value in one.hashes],
    )


def _of_debian() -> list[Component]:
    found = []
    for name, licence in DEBIAN.items():
        done = subprocess.run(
            ["dpkg-query", "-W", "-f=${Version} ${Architecture}", name], capture_output=True, text=True
        )
        version, _, architecture = done.stdout.partition(" ")
        purl = PackageURL(
            "deb",
            namespace="debian",
            name=name,
            version=version or None,
            qualifiers={"arch": architecture} if architecture else None,
        )
        found.append(_component(name, version or None, licence, purl=purl))
    return found


def _programs() -> list[Component]:
    return [
        _component(
            str(path.relative_to(locks.ROOT)),
            None,
            PROGRAMS,
            kind=ComponentType.FILE,
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=_digest(path))],
        )
        for path in sorted((locks.ROOT / "probes").glob("*.[ch]"))
    ]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def text() -> str:
    """Return it as JSON."""
    outputter = make_outputter(bom(), OutputFormat.JSON, SchemaVersion.V1_6)
    return f"{outputter.output_as_string(indent=2)}\n"


if __name__ == "__main__":
    Path(sys.argv[1]).parent.mkdir(parents=True, exist_ok=True)
    Path(sys.argv[1]).write_text(text())
