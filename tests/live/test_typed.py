"""Plain loads and helpers read the same of the running task."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = [pytest.mark.live, pytest.mark.requires("raw_tracepoint")]

# In a process of its own, whose name is set: it compiles.
_SCRIPT = r'''
import ctypes, os, sys
from tifbpf.host.btf import KernelTypes
from tifbpf.layouts.model import Context
from tifbpf.recorder import abi, addresses, hooks, loader, masks, offsets, typed
from tifbpf.recorder.bpf import Map, PerCpuHash, Program
from tifbpf.recorder.layout import running_layout

PR_SET_NAME = 15
CUTTER = """
int cut(void *ctx)
{
    int zero = 0;
    struct own_words *mine = own.lookup(&zero);

    if (mine)
        cut_at_end((union comm *)mine);
    return 0;
}
"""
codec = abi.KeyCodec(["syscall", "comm", "pid", "cgroup"])
(program,) = hooks.programs([
    hooks.Look(way=hooks.Way.RAW_TRACEPOINT, symbol="raw_syscalls:sys_exit", function="syscall_traced",
               contexts=frozenset({Context.SYSCALL}))
])
with KernelTypes() as types:
    untyped = offsets.definitions(types)
    variants = [untyped, untyped | typed.definitions(types, untyped)]
common = {**masks.definitions(running_layout()), "PLAIN_WORD": 0, "PLAIN_SYSCALL_WORK": 0, "MAX_CLASSES": 64,
          "DIMENSIONS": None, **{dimension.define: None for dimension in codec.dimensions}}
if "TYPED_TASK" not in variants[1]:
    print("this kernel has no typed task")
    sys.exit()

cutter = loader.load(
    sources=[], before=addresses.find([]).text, after=CUTTER, definitions={**variants[1], **common},
    attach_types={}, maps=["own"], programs={"cut": "RAW_TRACEPOINT"})
own, cut = Map(cutter.maps["own"]), Program(cutter.programs["cut"])
letters = b"\1ab\x80\xffcdefghijkln"
for length in range(16):
    # Behind it, the rest of a longer name.
    for rest in (letters, bytes(16), b"\1" * 16):
        text = letters[:length] + b"\0" + rest
        own.update(bytes(4), text[:16].ljust(abi.OWN_WORDS.size, b"\0"))
        cut.run_here()
        assert own.lookup(bytes(4))[:16] == letters[:length].ljust(16, b"\0"), text

for name in sys.argv[1:]:
    assert ctypes.CDLL(None).prctl(PR_SET_NAME, os.fsencode(name), 0, 0, 0) == 0
    seen = []
    for offsets_ in variants:
        loaded = loader.load(
            sources=["tracepoint.c"], before=addresses.find([program.symbol]).text, after=program.text,
            definitions={**offsets_, **common}, attach_types={}, maps=["settings", "own", "classes0"],
            programs={program.name: program.kind, "read_own_words": "RAW_TRACEPOINT"})
        Program(loaded.programs["read_own_words"]).run_here()
        regs = abi.OWN_WORDS.unpack(Map(loaded.maps["own"]).lookup(bytes(4)))[4]
        Map(loaded.maps["settings"]).update(bytes(4), abi.SETTINGS.pack(0, 0, 0, regs))
        run = Program(loaded.programs[program.name])
        # A reschedule or rseq may come with one of them.
        for _ in range(50):
            run.run_here()
        keys = [key for keys, _ in PerCpuHash(loaded.maps["classes0"]).drain() for key in codec.decode(keys)]
        seen.append({key._replace(word=0, syscall_work=0) for key in keys})
        assert min(key.word for key in keys) == 0, keys
    assert seen[0] == seen[1], seen
    (key,) = seen[0]
    assert key.comm == os.fsencode(name)[:15].ljust(16, b"\0"), key
    assert (key.pid, key.syscall, key.abi) == (os.getpid(), abi.NR_BPF, abi.AbiNumber.X86_64), key
    assert key.cgroup, key
print("same")
'''


def test_plain_loads_and_helpers_read_the_same() -> None:
    names = ["a", "eight888", "fifteen-letters"]
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, *names], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout in ("same\n", "this kernel has no typed task\n")
