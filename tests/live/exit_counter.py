"""A counter of exits of the tests' own, with nothing of the product's in it.

It counts, for the processes that it is told, what raw tracepoints show: system call exits with the words that
they find, signals delivered, page faults, timer interrupts with the words that they leave behind, and
reschedules asked for.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

_KERNEL_TREE = Path(__file__).resolve().parents[2] / "probes" / "kernel-tree"

_SOURCE = r"""
struct exit_key { u32 tgid; s32 nr; u64 flags; u64 work; u64 compat; };
struct event_key { u32 tgid; u32 which; };
BPF_HASH(mine, u32, u32, 1024);
BPF_HASH(tasks, u64, u32, 1024);
BPF_HASH(exits, struct exit_key, u64, 16384);
BPF_HASH(timers, struct exit_key, u64, 4096);
BPF_HASH(signals, struct event_key, u64, 1024);
BPF_HASH(faults, struct event_key, u64, 1024);
BPF_HASH(reschedules, struct event_key, u64, 1024);
BPF_ARRAY(lost, u64, 1);

static u32 my_tgid(void) {
    u32 tgid = bpf_get_current_pid_tgid() >> 32;
    return mine.lookup(&tgid) ? tgid : 0;
}

// thread_info is the first member of task_struct, and flags its first; TS_COMPAT is 2.
static void read_words(struct exit_key *key) {
    u64 task = bpf_get_current_task();
    u32 status = 0;
    bpf_probe_read_kernel(&key->flags, 8, (void *)task);
#ifdef SYSCALL_WORK
    bpf_probe_read_kernel(&key->work, 8, (void *)(task + SYSCALL_WORK));
#endif
    bpf_probe_read_kernel(&status, 4, (void *)(task + STATUS));
    key->compat = status & 2;
}

// sys_exit(struct pt_regs *regs, long ret); orig_ax is at 120.
int on_sys_exit(struct bpf_raw_tracepoint_args *ctx) {
    struct exit_key key = { .tgid = my_tgid() };
    if (!key.tgid) return 0;
    u64 nr = 0, task = bpf_get_current_task();
    bpf_probe_read_kernel(&nr, 8, (void *)(ctx->args[0] + 120));
    key.nr = nr;
    read_words(&key);
    COUNT(exits)
    tasks.update(&task, &key.tgid);
    return 0;
}

// local_timer_exit(int vector): the handlers are done, the exit to user mode is next.
int on_local_timer_exit(struct bpf_raw_tracepoint_args *ctx) {
    struct exit_key key = { .tgid = my_tgid() };
    if (!key.tgid) return 0;
    read_words(&key);
    COUNT(timers)
    return 0;
}

// signal_deliver(int sig, struct kernel_siginfo *info, struct k_sigaction *ka)
int on_signal_deliver(struct bpf_raw_tracepoint_args *ctx) {
    struct event_key key = { .tgid = my_tgid(), .which = ctx->args[0] };
    if (!key.tgid) return 0;
    COUNT(signals)
    return 0;
}

// page_fault_user(unsigned long address, struct pt_regs *regs, unsigned long error_code)
int on_page_fault_user(struct bpf_raw_tracepoint_args *ctx) {
    struct event_key key = { .tgid = my_tgid(), .which = ctx->args[2] };
    if (!key.tgid) return 0;
    COUNT(faults)
    return 0;
}

// sched_set_need_resched_tp(struct task_struct *task, int cpu, int tif), since Linux 6.17: the kernel says
// itself which bit it sets on whom.
int on_need_resched(struct bpf_raw_tracepoint_args *ctx) {
    u64 task = ctx->args[0];
    u32 *tgid = tasks.lookup(&task);
    if (!tgid) return 0;
    struct event_key key = { .tgid = *tgid, .which = ctx->args[2] };
    COUNT(reschedules)
    return 0;
}
"""

# A macro would do if bcc's map functions worked in one.
_COUNT = """{
        u64 none = 0, *count = %s.lookup_or_try_init(&key, &none);
        if (count) { __sync_fetch_and_add(count, 1); } else { lost.increment(0); }
    }"""

_TRACEPOINTS = {
    b"sys_exit": b"on_sys_exit",
    b"local_timer_exit": b"on_local_timer_exit",
    b"signal_deliver": b"on_signal_deliver",
    b"page_fault_user": b"on_page_fault_user",
}
_NEED_RESCHED_TRACEPOINT = b"sched_set_need_resched_tp"
_MAPS = (b"mine", b"tasks", b"exits", b"timers", b"signals", b"faults", b"reschedules", b"lost")


def _offsets() -> list[str]:
    """Return the offsets in thread_info: flags, syscall_work (since Linux 5.11), status."""
    if b"\0syscall_work\0" in Path("/sys/kernel/btf/vmlinux").read_bytes():
        return ["-DSYSCALL_WORK=8", "-DSTATUS=16"]
    return ["-DSTATUS=8"]


class Exit(NamedTuple):
    """One system call exit, or one timer interrupt (`nr` is 0 then)."""

    nr: int
    flags: int
    syscall_work: int
    compat: bool


class Seen(NamedTuple):
    """What was counted while attached, all processes together."""

    exits: Counter[Exit]
    timers: Counter[Exit]
    signals: Counter[int]
    faults: Counter[int]
    """By page fault error code."""
    reschedules: Counter[int] | None
    """By TIF bit number; None where the kernel has no such tracepoint."""
    lost: int


class ExitCounter:
    """Compiles once; counts while `counting`."""

    def __init__(self) -> None:
        os.environ["BCC_KERNEL_SOURCE"] = str(_KERNEL_TREE)
        from bcc import BPF

        self._bpf: Any = BPF(
            text=re.sub(r"COUNT\((\w+)\)", lambda match: _COUNT % match[1], _SOURCE).encode(),
            cflags=["-idirafter", "/usr/include", "-idirafter", "/usr/include/x86_64-linux-gnu", *_offsets()],
        )

    def watch(self, pids: Sequence[int]) -> None:
        """Count for these processes too."""
        for pid in pids:
            self._bpf[b"mine"][ctypes.c_uint32(pid)] = ctypes.c_uint32(1)

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        """Be attached, to begin with nothing counted and nobody watched."""
        for name in _MAPS:
            self._bpf[name].clear()
        attached = []
        try:
            for tracepoint, function in _TRACEPOINTS.items():
                self._bpf.attach_raw_tracepoint(tp=tracepoint, fn_name=function)
                attached.append(tracepoint)
            with contextlib.suppress(Exception):  # bcc raises nothing better
                self._bpf.attach_raw_tracepoint(tp=_NEED_RESCHED_TRACEPOINT, fn_name=b"on_need_resched")
                attached.append(_NEED_RESCHED_TRACEPOINT)
            self._tells_reschedules = _NEED_RESCHED_TRACEPOINT in attached
            yield
        finally:
            for tracepoint in attached:
                self._bpf.detach_raw_tracepoint(tracepoint)

    def seen(self) -> Seen:
        """Return what was counted."""
        return Seen(
            exits=self._words(b"exits"),
            timers=self._words(b"timers"),
            signals=self._events(b"signals"),
            faults=self._events(b"faults"),
            reschedules=self._events(b"reschedules") if self._tells_reschedules else None,
            lost=self._bpf[b"lost"][0].value,
        )

    def _words(self, name: bytes) -> Counter[Exit]:
        found: Counter[Exit] = Counter()
        for key, count in self._bpf[name].items():
            found[Exit(key.nr, key.flags, key.work, bool(key.compat))] += count.value
        return found

    def _events(self, name: bytes) -> Counter[int]:
        found: Counter[int] = Counter()
        for key, count in self._bpf[name].items():
            found[key.which] += count.value
        return found
