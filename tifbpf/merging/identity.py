"""Which recordings can be one: those that saw the same in the same way on the same host."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable

import msgspec

from tifbpf.recording.metadata import Coverage, Metadata, Totals

SETTERS = "setters"
"""What `--drop` takes beside dimensions."""
_NAMES_THREADS = "comm"

_SUMMED_OR_LATEST = {
    "schema": 1,
    "tifbpf": "",
    "id": "",
    "layout_evidence": (),
    "command": (),
    "interval_ns": 0,
    "started_ns": 0,
    "duration_ns": 0,
    "totals": Totals(),
    "setters_lost": 0,
    "complete": True,
    "ended": "",
    "segment": None,
    "merged": None,
}
"""In what recordings that become one may differ. A member of `Metadata` that is not here keeps them apart, so
that one which is added later does too until somebody has said what it means to merge it."""


def kept(metadata: Metadata, dropped: Collection[str]) -> Metadata:
    """Return the metadata without what is dropped.

    Who set a bit is kept by the name of a thread, so it goes with `comm`.
    """
    dimensions = tuple(name for name in metadata.dimensions if name not in dropped)
    if not {SETTERS, _NAMES_THREADS} & set(dropped):
        return msgspec.structs.replace(metadata, dimensions=dimensions)
    return msgspec.structs.replace(
        metadata, dimensions=dimensions, setters=None, setters_lost=0, setters_unseen=(), handlers=None
    )


def identity(metadata: Metadata) -> Metadata:
    """Return what recordings must share to become one; that of others is another."""
    return msgspec.structs.replace(
        metadata,
        contexts=tuple(sorted(map(_observation, metadata.contexts), key=lambda found: found.context)),
        # Whether it was asked for, not what was seen.
        setters=metadata.setters and (),
        handlers=metadata.handlers and (),
        **_SUMMED_OR_LATEST,
    )


def _observation(coverage: Coverage) -> Coverage:
    return msgspec.structs.replace(coverage, self_tests=(), attempts=(), why_not=None, blind_cpus=())


def digest(identity: Metadata, step_ns: int) -> str:
    """Return a name for the recordings that share an identity and a step."""
    data = msgspec.json.encode((identity, step_ns), order="deterministic")
    return hashlib.sha256(data).hexdigest()[:12]


def differing(identities: Iterable[Metadata]) -> list[str]:
    """Return the members in which identities differ."""
    first, *others = identities
    return [
        name
        for name in Metadata.__struct_fields__
        if any(getattr(other, name) != getattr(first, name) for other in others)
    ]
