"""What tifbpf may leave behind in a kernel, as lists that can be compared: before, and after it has ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import msgspec

from tifbpf.host import libbpf, programs
from tifbpf.host.btf import KernelTypes
from tifbpf.host.programs import ProgramType, instruction
from tifbpf.layouts.model import Word
from tifbpf.recorder.bpf import Descriptor, Map
from tifbpf.recorder.layout import running_layout

MARK = "TIFBPF_TEST"
"""A variable in the environment of whatever a test starts, by which its processes are known."""

_TRACING = Path("/sys/kernel/tracing")
_KPROBES = Path("/sys/kernel/debug/kprobes/list")
_PROC = Path("/proc")
_ARRAY = 2
_TRACE_ITER = 28
_INFO = 256
_NAME_OF = {"prog": 64, "map": 24}
"""Where struct bpf_prog_info and bpf_map_info have the name."""
_SECONDS = 10.0
"""Within which the kernel frees what nobody holds any more."""


class Left(msgspec.Struct, frozen=True):
    """What is there now."""

    programs: tuple[str, ...] = ()
    """Id and name of every BPF program."""
    maps: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    perf_events: tuple[str, ...] = ()
    """Descriptors of perf events, of whatever process: `/proc/PID/fd/N`."""
    events: tuple[str, ...] = ()
    """Lines of kprobe_events, uprobe_events and dynamic_events."""
    kprobes: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    """Lines of enabled_functions."""
    traced: int | None = 0
    """Threads of the host that have SYSCALL_TRACEPOINT set; None where the kernel cannot say. If somebody
    else traces, every thread that is born has it too, and nothing follows from their number."""
    processes: tuple[str, ...] = ()
    """Those that carry the mark, and what they run."""
    files: tuple[str, ...] = ()
    """What is in the directories that were asked about."""

    def beside(self, before: Left) -> str:
        """Return what is there and was not `before`, a line each; "" if nothing is."""
        more = []
        for name in self.__struct_fields__:
            was, now = getattr(before, name), getattr(self, name)
            if isinstance(now, tuple):
                now, was = sorted(set(now) - set(was)), None
            if now and not was:
                more.append(f"{name}: {now}")
        return "\n".join(more)


def left(mark: str | None = None, *directories: Path) -> Left:
    """Look."""
    names = ("kprobe_events", "uprobe_events", "dynamic_events")
    return Left(
        programs=_objects("prog"),
        maps=_objects("map"),
        links=_objects("link"),
        perf_events=_perf_events(),
        events=tuple(line for name in names for line in _lines(_TRACING / name)),
        kprobes=_lines(_KPROBES),
        functions=_lines(_TRACING / "enabled_functions"),
        traced=traced(),
        processes=_marked(mark) if mark else (),
        files=tuple(sorted(str(path) for place in directories for path in place.rglob("*"))),
    )


def settled(before: Left, look: Callable[[], Left] = left) -> str:
    """Return what is there and was not `before`, once the kernel has had time to free what nobody holds."""
    deadline = time.monotonic() + _SECONDS
    while (more := look().beside(before)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return more


class Leavings:
    """Watches over something that begins, runs and ends: nothing of it may stay."""

    def __init__(self, *directories: Path) -> None:
        """Look at what is there before; in `directories` nothing may stay that `kept` does not name."""
        self._directories = directories
        self.mark = uuid.uuid4().hex
        self._before = self._look()

    @property
    def environment(self) -> dict[str, str]:
        """The environment for what is started."""
        return {**os.environ, MARK: self.mark}

    def _look(self) -> Left:
        return left(self.mark, *self._directories)

    def check(self, *kept: Path) -> None:
        """Fail unless everything is as before, but for the files `kept` and what is below them.

        Raises:
            AssertionError: something is left, and what.
        """

        def look() -> Left:
            now = self._look()
            files = tuple(
                name
                for name in now.files
                if name in self._before.files or not any(Path(name).is_relative_to(path) for path in kept)
            )
            return msgspec.structs.replace(now, files=files)

        if more := settled(self._before, look):
            raise AssertionError(f"left behind:\n{more}")


def _objects(kind: str) -> tuple[str, ...]:
    """Return id and name of all programs, maps or links."""
    library = libbpf.library()
    found = []
    number = ctypes.c_uint32(0)
    while getattr(library, f"bpf_{kind}_get_next_id")(number, ctypes.byref(number)) == 0:
        descriptor = getattr(library, f"bpf_{kind}_get_fd_by_id")(number)
        if descriptor < 0:
            continue  # freed meanwhile
        with Descriptor(descriptor):
            found.append(f"{number.value} {_name(kind, descriptor)}".strip())
    return tuple(found)


def _name(kind: str, descriptor: int) -> str:
    if kind not in _NAME_OF:
        return ""
    info = ctypes.create_string_buffer(_INFO)
    size = ctypes.c_uint32(_INFO)
    libbpf.library().bpf_obj_get_info_by_fd(descriptor, info, ctypes.byref(size))
    return info.raw[_NAME_OF[kind] :][:16].split(b"\0")[0].decode()


def _perf_events() -> tuple[str, ...]:
    found = []
    for descriptor in _PROC.glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if str(descriptor.readlink()) == "anon_inode:[perf_event]":
                found.append(str(descriptor))
    return tuple(sorted(found))


def _marked(mark: str) -> tuple[str, ...]:
    wanted = f"{MARK}={mark}".encode()
    found = []
    for process in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (process / "environ").read_bytes().split(b"\0"):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found.append(f"{process.name} {command.strip()}")
    return tuple(sorted(found))


def _lines(path: Path) -> tuple[str, ...]:
    try:
        return tuple(path.read_text().splitlines())
    except OSError:
        return ()


def traced() -> int | None:
    """Return how many threads have SYSCALL_TRACEPOINT set, by a BPF iterator that is not tifbpf's.

    None before Linux 5.8, which brought iterators over tasks.
    """
    layout = running_layout()
    bit = layout.named("SYSCALL_TRACEPOINT")
    assert bit is not None, layout.name
    with KernelTypes() as types:
        function = types.function_id("bpf_iter_task")
        members = types.struct_members("thread_info") or {}
    if function is None:
        return None
    offset = members["flags" if bit.word is Word.TIF else "syscall_work"]
    options = libbpf.MapCreateOptions()
    library = libbpf.library()
    created = library.bpf_map_create(_ARRAY, b"traced", 4, 8, 1, ctypes.byref(options))
    with contextlib.ExitStack() as stack:
        count = stack.enter_context(Map(programs.check(created)))
        code = _count_tasks(count.fd, offset, bit.value)
        loaded = programs.load(ProgramType.TRACING, code, attach_type=_TRACE_ITER, attach_btf_id=function)
        stack.enter_context(Descriptor(loaded))
        link = programs.check(library.bpf_link_create(loaded, 0, _TRACE_ITER, None))
        stack.enter_context(Descriptor(link))
        run = programs.check(library.bpf_iter_create(link))
        with os.fdopen(run, "rb") as stream:
            stream.read()
        return int(struct.unpack("<Q", count.lookup(bytes(4)) or b"")[0])


def _count_tasks(count: int, offset: int, bits: int) -> bytes:
    """Return a program for struct bpf_iter__task (meta, task): count the tasks that have one of `bits`."""
    add = (
        instruction(0x62, 10, 0, -4)  # key 0 on the stack
        + instruction(0x18, 1, 1, 0, count)
        + instruction(0)
        + instruction(0xBF, 2, 10)
        + instruction(0x07, 2, value=-4)
        + instruction(0x85, value=1)  # bpf_map_lookup_elem
        + instruction(0x15, 0, 0, 2)
        + instruction(0xB7, 1, value=1)
        + instruction(0xDB, 0, 1)  # lock *(u64 *)r0 += 1
    )
    look = (
        instruction(0x79, 3, 2, offset)  # thread_info is the first member of task_struct
        + instruction(0x18, 4, 0, 0, ctypes.c_int32(bits & 0xFFFFFFFF).value)
        + instruction(0, value=bits >> 32)
        + instruction(0x5F, 3, 4)
        + instruction(0x15, 3, 0, len(add) // 8)
    )
    return (
        instruction(0x79, 2, 1, 8)
        + instruction(0x15, 2, 0, (len(look) + len(add)) // 8)
        + look
        + add
        + programs.RETURN_0
    )


if __name__ == "__main__":
    print(msgspec.json.encode(left()).decode())
