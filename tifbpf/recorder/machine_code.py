"""What a kernel, that which runs or a file, tests on the way to user space."""

from __future__ import annotations

import contextlib
import os

import msgspec

from tifbpf import machine
from tifbpf.errors import InputDamagedError, NoLibbpfError
from tifbpf.host import kallsyms
from tifbpf.host.image import RunningImage
from tifbpf.host.kallsyms import Symbols
from tifbpf.host.vmlinux import Vmlinux
from tifbpf.layouts import facts
from tifbpf.layouts.facts import LayoutFacts
from tifbpf.layouts.tested import Tested
from tifbpf.machine import symbols


def of_file(image: Vmlinux) -> LayoutFacts:
    """Return what a kernel's file tells of its layout: its release, the functions that it has, and its masks.

    Raises:
        InputDamagedError: its text ends in a function.
    """
    try:
        tested = machine.read(image)
    except OSError as error:
        raise InputDamagedError(f"{image.source}: damaged ({error}); copy it once more") from None
    return LayoutFacts(
        release=image.release,
        version=image.version,
        symbols=facts.symbols() & image.places.keys(),
        tested=tested,
    )


def running() -> Tested:
    """Return all masks and guards of the running kernel; without text, `missing` says why."""
    return _read(kallsyms.find(symbols.names()), every=True)


def decisive(found: Symbols) -> Tested:
    """Return what decides for most exits, with such guards as can be named without a look at all symbols.

    Args:
        found: what kallsyms says of `symbols.names(every=False)`, at least.
    """
    return _read(found, every=False)


class Reading:
    """`decisive` in a child, which takes some 40 ms beside whatever this process does meanwhile.

    The disassembler would stay in memory for as long as the recorder runs: 10 MB.
    """

    def __init__(self, found: Symbols) -> None:
        """Begin."""
        ours, theirs = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            with contextlib.suppress(BaseException), os.fdopen(theirs, "wb") as pipe:
                pipe.write(msgspec.msgpack.encode(decisive(found)))
            # Nothing of the parent's is flushed or closed a second time.
            os._exit(0)
        os.close(theirs)
        self._pipe = os.fdopen(ours, "rb")

    def result(self) -> Tested:
        """Wait for it, and return what was found; once."""
        with self._pipe:
            said = self._pipe.read()
        os.waitpid(self._pid, 0)
        try:
            return msgspec.msgpack.decode(said, type=Tested)
        except msgspec.DecodeError:
            return _unread("the process that read it ended before it was done")


def _read(found: Symbols, *, every: bool) -> Tested:
    if found.places is None or found.reason:
        return _unread(found.reason or "kallsyms cannot be read")
    try:
        with RunningImage(found.places, every_name=every) as image:
            return machine.read(image, every=every)
    except (OSError, NoLibbpfError) as error:
        return _unread(f"the kernel's text cannot be read: {getattr(error, 'strerror', None) or error}")


def _unread(reason: str) -> Tested:
    return Tested(source=f"the running kernel {os.uname().release}", missing=(reason,))
