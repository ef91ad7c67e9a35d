"""Every interval adds up by itself, also while exits come thick and fast."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = [pytest.mark.live, pytest.mark.requires("raw_tracepoint", "two_cpus")]

# In a process of its own: it compiles.
FLUSHES = """
import subprocess, sys
from tifbpf.recorder.options import Options
from tifbpf.recorder.session import Session
calls = "from tifbpf import exercises\\nwhile True: exercises.get('syscall').run(100_000)"
with subprocess.Popen([sys.executable, "-c", calls]) as busy:
    try:
        with Session(Options(dimensions=("syscall",))) as session:
            session.begin()
            found = [session.flush().metadata.totals for _ in range(150)]
            found.append(session.finish().metadata.totals)
    finally:
        busy.kill()
assert found[-1].recorded > 100_000, found[-1]
for number, totals in enumerate(found):
    assert totals.seen == totals.recorded + totals.losses.total, (number, totals)
"""


def test_an_exit_belongs_to_one_interval() -> None:
    subprocess.run([sys.executable, "-c", FLUSHES], check=True)
