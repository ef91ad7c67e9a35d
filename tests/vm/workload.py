"""Processes that pass messages over socket pairs, as perf's `sched messaging` (hackbench), and a compiler.

python -m tests.vm.workload
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

_PAIRS = 10
_MESSAGES = 200
_SIZE = 100
_SOURCES = 4


def send(end: socket.socket) -> None:
    """Send all messages."""
    for _ in range(_MESSAGES):
        end.sendall(bytes(_SIZE))


def receive(end: socket.socket) -> None:
    """Receive all messages."""
    missing = _MESSAGES * _SIZE
    while missing:
        missing -= len(end.recv(_SIZE))


def messages() -> None:
    """Have every pair pass its messages, all at once."""
    children = []
    for _ in range(_PAIRS):
        ends = socket.socketpair()
        for act, end in zip((send, receive), ends, strict=True):
            pid = os.fork()
            if pid == 0:
                act(end)
                os._exit(0)
            children.append(pid)
        for end in ends:
            end.close()
    for pid in children:
        os.waitpid(pid, 0)


def build() -> None:
    """Compile a few files, two at a time; nothing where there is no compiler."""
    if (compiler := shutil.which("gcc")) is None:
        return
    with tempfile.TemporaryDirectory() as directory:
        running: list[subprocess.Popen[bytes]] = []
        for number in range(_SOURCES):
            source = Path(directory) / f"{number}.c"
            source.write_text("#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n" + _FUNCTION)
            running.append(subprocess.Popen([compiler, "-O2", "-c", source, "-o", source.with_suffix(".o")]))
            if len(running) == 2:
                running.pop(0).wait()
        for compiling in running:
            compiling.wait()


_FUNCTION = 'int f(const char *s) { char b[99]; snprintf(b, sizeof b, "%s", s); return (int)strlen(b); }\n'


if __name__ == "__main__":
    messages()
    build()
