"""Snapshots through a pipe, in one direction: the privileged end never reads, and waits for nobody long."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator

import msgspec

from tifbpf.errors import TifbpfError
from tifbpf.metrics.snapshot import Snapshot

_LENGTH = 4
_PATIENCE_S = 0.1
"""For how long one snapshot may wait for its reader. The next one holds all that it says."""


class Sender:
    """The end that writes."""

    def __init__(self, descriptor: int) -> None:
        """Own `descriptor`."""
        self._descriptor = descriptor
        self._pending = memoryview(b"")
        os.set_blocking(descriptor, False)

    def send(self, snapshot: Snapshot) -> None:
        """Send `snapshot`, unless the reader has not even taken the one before.

        Raises:
            TifbpfError: nobody reads any more.
        """
        self._flush()
        if not self._pending:
            data = msgspec.msgpack.encode(snapshot)
            self._pending = memoryview(len(data).to_bytes(_LENGTH, "little") + data)
            self._flush()

    def _flush(self) -> None:
        end = time.monotonic() + _PATIENCE_S
        while self._pending:
            _, ready, _ = select.select((), (self._descriptor,), (), max(end - time.monotonic(), 0))
            if not ready:
                return
            try:
                self._pending = self._pending[os.write(self._descriptor, self._pending) :]
            except BrokenPipeError as error:
                raise TifbpfError(
                    "the process that answers Prometheus has ended; start tifbpf anew"
                ) from error

    def close(self) -> None:
        """End the reader."""
        os.close(self._descriptor)


def received(descriptor: int) -> Iterator[Snapshot]:
    """Yield snapshots until the sender is gone."""
    with open(descriptor, "rb") as stream:
        while len(length := stream.read(_LENGTH)) == _LENGTH:
            data = stream.read(size := int.from_bytes(length, "little"))
            if len(data) < size:
                return  # the sender ended in the middle of it
            yield msgspec.msgpack.decode(data, type=Snapshot)
