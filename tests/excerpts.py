"""Excerpts of kernels: the text that is read of an image, and the names in it, as JSON.

`python -m tests.excerpts NAME PROVENANCE VMLINUZ` writes tests/data/text/NAME.json anew; `running` in place
of a file is the kernel that runs, with its text as it was patched.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from tifbpf import machine
from tifbpf.host import kallsyms
from tifbpf.host.image import RunningImage
from tifbpf.host.kallsyms import Place
from tifbpf.host.vmlinux import Vmlinux
from tifbpf.machine import symbols
from tifbpf.machine.image import Image

DATA = Path(__file__).with_name("data") / "text"

_LINKED, _ALIGNED = 0xFFFFFFFF81000000, 1 << 24


class Text(msgspec.Struct, frozen=True):
    address: int
    code: str
    """Base64."""


class Excerpt(msgspec.Struct, frozen=True, kw_only=True):
    """An Image of what was written down."""

    provenance: str
    release: str
    version: str
    functions: dict[str, tuple[int, int]]
    """Address and size."""
    others: dict[int, str]
    texts: list[Text]

    @property
    def source(self) -> str:
        return self.provenance

    @property
    def places(self) -> dict[str, Place]:
        return {name: Place(*place) for name, place in self.functions.items()}

    def read(self, address: int, size: int) -> bytes:
        for text in self.texts:
            code = base64.b64decode(text.code)
            if text.address <= address and address + size <= text.address + len(code):
                return code[address - text.address :][:size]
        raise OSError(f"no text at {address:#x}")

    def names(self, addresses: Collection[int]) -> dict[int, str]:
        return {address: self.others[address] for address in addresses if address in self.others}

    def changed(self, function: str, before: bytes, after: bytes) -> Excerpt:
        """Return it with the first `before` in a function's code replaced."""
        address = self.functions[function][0]
        texts = []
        for text in self.texts:
            code = base64.b64decode(text.code)
            if text.address == address:
                assert before in code
                code = code.replace(before, after, 1)
            texts.append(Text(text.address, base64.b64encode(code).decode()))
        return msgspec.structs.replace(self, texts=texts)


def load(name: str) -> Excerpt:
    return msgspec.json.decode((DATA / f"{name}.json").read_bytes(), type=Excerpt)


class _Recorded:
    """An image that keeps what it was asked for."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self.source = image.source
        wanted = symbols.names()
        self.places: Mapping[str, Place] = {
            name: Place(place.address, place.size)
            for name, place in image.places.items()
            if name in wanted or symbols.base(name) in symbols.FOLLOWED
        }
        self.texts: dict[int, bytes] = {}
        self.others: dict[int, str] = {}

    def read(self, address: int, size: int) -> bytes:
        code = self._image.read(address, size)
        if len(code) > len(self.texts.get(address, b"")):
            self.texts[address] = code
        return code

    def names(self, addresses: Collection[int]) -> dict[int, str]:
        found = self._image.names(addresses)
        self.others |= found
        return found


def excerpt(image: Image, provenance: str, release: str, version: str) -> Excerpt:
    recorded = _Recorded(image)
    machine.read(recorded)
    # Where a running kernel was put is its secret; code does not care.
    lowest = min(place.address for place in recorded.places.values() if place.address)
    moved = _LINKED - lowest // _ALIGNED * _ALIGNED
    return Excerpt(
        provenance=provenance,
        release=release,
        version=version,
        functions={
            name: (place.address + moved, place.size)
            for name, place in sorted(recorded.places.items())
            if place.address
        },
        others={address + moved: name for address, name in sorted(recorded.others.items())},
        texts=[
            Text(address + moved, base64.b64encode(code).decode())
            for address, code in sorted(recorded.texts.items())
        ],
    )


def main(name: str, provenance: str, file: str) -> None:
    if file == "running":
        with RunningImage(kallsyms.find(symbols.names()).places or {}, every_name=True) as running:
            found = excerpt(running, provenance, name.rpartition("-")[2], "")
    else:
        image = Vmlinux(Path(file))
        found = excerpt(image, provenance, image.release, image.version)
    encoded = msgspec.json.format(msgspec.json.encode(found), indent=1)
    DATA.mkdir(exist_ok=True)
    (DATA / f"{name}.json").write_bytes(encoded + b"\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
