"""The collector of plain maps, on maps that are filled here as probes/legacy.c fills them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterator

import pytest

from tifbpf.host import libbpf
from tifbpf.recorder.abi import SETTINGS, UNMEASURED, Counters, KeyCodec
from tifbpf.recorder.legacy import LegacyCollector
from tifbpf.recorder.legacy_maps import PlainMap, pass_over_cpus

pytestmark = [pytest.mark.live, pytest.mark.requires("root")]

HASH, ARRAY = 1, 2
KEY = struct.Struct("<QQ16sIBB2xI4x")
"""struct class_key with BY_COMM and BY_CPU."""
SIZES = {
    "settings": (ARRAY, 4, SETTINGS.size, 1),
    "counters": (ARRAY, 4, 8, 2 * 3 * 9),
    "classes0": (HASH, KEY.size, 8, 64),
    "classes1": (HASH, KEY.size, 8, 64),
}


@contextlib.contextmanager
def made(*names: str) -> Iterator[dict[str, PlainMap]]:
    with contextlib.ExitStack() as stack:
        maps = {}
        for name in names:
            kind, key, value, entries = SIZES[name]
            options = libbpf.MapCreateOptions()
            descriptor = libbpf.library().bpf_map_create(
                kind, name.encode(), key, value, entries, ctypes.byref(options)
            )
            assert descriptor >= 0
            maps[name] = stack.enter_context(PlainMap(descriptor, key, value))
        yield maps


def test_a_hash_is_emptied() -> None:
    with made("classes0") as maps:
        written = {bytes([i]) * KEY.size: struct.pack("<Q", i) for i in range(1, 61)}
        for key, value in written.items():
            maps["classes0"].update(key, value)
        assert dict(maps["classes0"].drain()) == written
        assert list(maps["classes0"].keys()) == []
        assert maps["classes0"].lookup(bytes(KEY.size)) is None


def test_passing_over_the_cpus_comes_back() -> None:
    before = os.sched_getaffinity(0)
    pass_over_cpus()
    assert os.sched_getaffinity(0) == before


def test_two_intervals() -> None:
    with made(*SIZES) as maps:
        collector = LegacyCollector(maps, KeyCodec(["comm"]), by_cpu=True)
        collector.leave_out(77)
        assert maps["settings"].lookup(bytes(4)) == SETTINGS.pack(0, 77, 0, 0)

        def seen(which: int, context: int, **values: int) -> None:
            for field, value in values.items():
                index = (which * 3 + context) * 9 + Counters.__struct_fields__.index(field)
                maps["counters"].update(struct.pack("<I", index), struct.pack("<Q", value))

        maps["classes0"].update(KEY.pack(0x4, 0, b"make", 0, 0, UNMEASURED, 1), struct.pack("<Q", 5))
        maps["classes0"].update(KEY.pack(0x8, 0, b"cc1", 1, 0, UNMEASURED, 0), struct.pack("<Q", 2))
        seen(0, 0, seen=6, map_full=1, filtered=9)
        seen(0, 1, seen=2)
        first = collector.take()
        assert maps["settings"].lookup(bytes(4)) == SETTINGS.pack(1, 77, 0, 0)
        assert first.classes.key.comm is not None
        assert first.classes.cpu is not None
        assert {
            (word, context, comm.rstrip(b"\0"), cpu, count)
            for word, context, comm, cpu, count in zip(
                first.classes.key.word,
                first.classes.key.context,
                first.classes.key.comm,
                first.classes.cpu,
                first.classes.count,
                strict=True,
            )
        } == {(0x4, 0, b"make", 1, 5), (0x8, 1, b"cc1", 0, 2)}
        assert (first.seen, first.recorded, first.map_full, first.filtered) == (8, 7, 1, 9)
        assert list(collector.take().classes.count) == []
        # The first set again: what it counted before does not count twice.
        seen(0, 0, seen=7, map_full=1, filtered=9)
        maps["classes0"].update(KEY.pack(0x2, 0, b"", 0, 0, UNMEASURED, 1), struct.pack("<Q", 1))
        third = collector.take()
        assert (third.seen, third.recorded, third.map_full, third.filtered) == (1, 1, 0, 0)
        assert list(third.classes.key.word) == [0x2]
