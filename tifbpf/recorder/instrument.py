"""The loaded programs and maps of one probe: attaching, watching, following, giving all of it back."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self, cast

import msgspec

from tifbpf.errors import BpfRefusedError, TifbpfError
from tifbpf.host.btf import KernelTypes
from tifbpf.layouts.model import Bit, Word
from tifbpf.recorder import loader, offsets
from tifbpf.recorder.abi import OWN_WORDS, KeyCodec
from tifbpf.recorder.bpf import Descriptor, Map, PerCpuHash, Program, attach_raw_tracepoint
from tifbpf.recorder.check import Window
from tifbpf.recorder.drain import Collector
from tifbpf.recorder.filters import Filters
from tifbpf.recorder.probes import PROGRAM_TYPE, Probe

_OWN_PROGRAM = "read_own_words"
_FOLLOWERS = {"follow_fork": "sched_process_fork", "forget_exited": "sched_process_exit"}
_PROC = Path("/proc")


class Words(msgspec.Struct, frozen=True):
    """A pair of words, or of sets of bits."""

    tif: int = 0
    syscall_work: int = 0

    @classmethod
    def of(cls, bit: Bit) -> Self:
        """Return the pair in which just `bit` is set."""
        return cls(bit.value, 0) if bit.word is Word.TIF else cls(0, bit.value)

    def __and__(self, other: Words) -> Words:
        return Words(self.tif & other.tif, self.syscall_work & other.syscall_work)

    def __bool__(self) -> bool:
        return bool(self.tif or self.syscall_work)


class Instrument:
    """One probe, compiled for one recording. Nothing is attached before it is told to."""

    def __init__(
        self,
        probe: Probe,
        *,
        own_bit: Words,
        dimensions: tuple[str, ...],
        filters: Filters,
        max_classes: int,
    ) -> None:
        """Compile and load.

        Args:
            probe: what to load.
            own_bit: the bit that attaching it sets in every task.
            dimensions: what `--by` asked for.
            filters: what to keep.
            max_classes: the size of each of the two maps of classes.

        Raises:
            BpfRefusedError: it does not compile, or the kernel refuses it.
            NoTypesError: the kernel's structures are not to be had.
        """
        self._probe = probe
        self._filters = filters
        self._stack = contextlib.ExitStack()
        self._links: list[Descriptor] = []
        codec = KeyCodec(dimensions)
        definitions: dict[str, int | str | None] = {
            "PLAIN_WORD": own_bit.tif,
            "PLAIN_SYSCALL_WORK": own_bit.syscall_work,
            "MAX_CLASSES": max_classes,
            **filters.definitions(),
            **{dimension.define: None for dimension in codec.dimensions},
        }
        if codec.dimensions:
            definitions["DIMENSIONS"] = None
        with KernelTypes() as types:
            definitions |= offsets.definitions(types)
        programs = [_OWN_PROGRAM, *(name for a in probe.attachments for name in (a.record, a.check))]
        maps = ["settings", "counters", "classes0", "classes1", "checked", "own"]
        if filters.pids:
            programs += _FOLLOWERS
            maps += ["followed", "not_followed"]
        if filters.cgroups:
            maps.append("cgroups")
        loaded = loader.load(probe.source, definitions, dict.fromkeys(programs, PROGRAM_TYPE), maps)
        with contextlib.ExitStack() as stack:
            self._programs = {name: stack.enter_context(Program(fd)) for name, fd in loaded.programs.items()}
            self._maps = {
                name: stack.enter_context((PerCpuHash if name.startswith("classes") else Map)(fd))
                for name, fd in loaded.maps.items()
            }
            self.collector = Collector(
                settings=self._maps["settings"],
                counters=self._maps["counters"],
                classes=(
                    cast("PerCpuHash", self._maps["classes0"]),
                    cast("PerCpuHash", self._maps["classes1"]),
                ),
                programs=[self._programs[attachment.record] for attachment in probe.attachments],
                codec=codec,
                by_cpu="cpu" in dimensions,
                plain=(own_bit.tif, own_bit.syscall_work),
            )
            stack.callback(self.collector.close)
            self._fill_cgroups()
            self._stack = stack.pop_all()

    def own_words(self) -> tuple[Words, int] | None:
        """Return this task's words as they are now, and its tgid in the initial namespace.

        None where the kernel cannot run such a program without attaching it.
        """
        try:
            self._programs[_OWN_PROGRAM].run_here()
        except OSError:
            return None
        word, syscall_work, pid_tgid, failed = OWN_WORDS.unpack(self._maps["own"].lookup(bytes(4)) or b"")
        return None if failed else (Words(word, syscall_work), pid_tgid >> 32)

    @contextlib.contextmanager
    def watching(self) -> Iterator[Window]:
        """Attach the check programs for the duration of the `with`."""
        with contextlib.ExitStack() as stack:
            for attachment in self._probe.attachments:
                stack.enter_context(
                    attach_raw_tracepoint(attachment.tracepoint, self._programs[attachment.check])
                )
            yield Window(
                collector=self.collector,
                checked=self._maps["checked"],
                own=self._maps["own"],
                own_words=self._programs[_OWN_PROGRAM],
            )

    def attach(self) -> None:
        """Attach the programs that record, those that follow children first.

        Raises:
            BpfRefusedError: the kernel refused one; none stays attached.
        """
        try:
            if self._filters.pids:
                for program, tracepoint in _FOLLOWERS.items():
                    self._links.append(attach_raw_tracepoint(tracepoint, self._programs[program]))
                self.follow(self._filters.pids)
            for attachment in self._probe.attachments:
                self._links.append(
                    attach_raw_tracepoint(attachment.tracepoint, self._programs[attachment.record])
                )
        except BpfRefusedError:
            self.detach()
            raise

    def follow(self, pids: Iterable[int]) -> None:
        """Follow these processes and the children that they have already.

        Raises:
            TifbpfError: one of them does not exist.
        """
        waiting = list(pids)
        for pid in waiting:
            if not (_PROC / str(pid)).exists():
                raise TifbpfError(f"no process {pid}: look for it with ps, or leave out --pid")
        # A child found on the way may be gone by now, which is nobody's mistake.
        for pid in waiting:
            self._maps["followed"].update(struct.pack("<I", pid), b"\1")
            waiting += _children(pid)

    def not_followed(self) -> int:
        """Return how many children were not followed because there were too many."""
        raw = self._maps["not_followed"].lookup(bytes(4)) if self._filters.pids else None
        return int.from_bytes(raw, "little") if raw else 0

    def detach(self) -> None:
        """Detach everything, and wait until no program of ours runs any more."""
        if not self._links:
            return
        while self._links:
            self._links.pop().close()
        self.collector.settle()

    def close(self) -> None:
        """Detach, and give programs and maps back."""
        self.detach()
        self._stack.close()

    def _fill_cgroups(self) -> None:
        for index, path in enumerate(self._filters.cgroups):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            except OSError as error:
                raise TifbpfError(f"{path}: no cgroup: {error.strerror}; give a directory") from error
            with Descriptor(descriptor):
                try:
                    self._maps["cgroups"].update(struct.pack("<I", index), struct.pack("<I", descriptor))
                except OSError as error:
                    raise TifbpfError(
                        f"{path}: no cgroup of the unified hierarchy (cgroup v2); give a directory of it"
                    ) from error


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in (_PROC / str(pid) / "task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, task.read_text().split())
    return found
