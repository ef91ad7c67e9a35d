"""What the author of a bcc tool would write to count exits by their words: python -m … empty|words|all.

Reads the thread_info where this kernel has it, and nothing else of ours. Says `attached`, and ends by SIGINT.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

from tifbpf import resources
from tifbpf.host.btf import KernelTypes
from tifbpf.recorder import offsets
from tifbpf.recorder.abi import defines
from tifbpf.recorder.loader import USER_HEADERS

EMPTY = """
int on_sys_exit(struct bpf_raw_tracepoint_args *ctx) { return 0; }
"""

COUNT = """
struct key {
    u64 flags;
    u64 work;
#ifdef ALL
    u64 cgroup;
    char comm[16];
    u32 pid;
    u32 cpu;
    u64 syscall;
#endif
};
BPF_HASH(exits, struct key, u64);

int on_sys_exit(struct bpf_raw_tracepoint_args *ctx) {
    char *info = (char *)bpf_get_current_task() + TASK_THREAD_INFO;
    struct key key = {};
    bpf_probe_read_kernel(&key.flags, sizeof(key.flags), info + THREAD_INFO_FLAGS);
    bpf_probe_read_kernel(&key.work, sizeof(key.work), info + THREAD_INFO_SYSCALL_WORK);
#ifdef ALL
    key.cgroup = bpf_get_current_cgroup_id();
    bpf_get_current_comm(&key.comm, sizeof(key.comm));
    key.pid = bpf_get_current_pid_tgid() >> 32;
    key.cpu = bpf_get_smp_processor_id();
    bpf_probe_read_kernel(&key.syscall, sizeof(key.syscall), (char *)ctx->args[0] + REGS_ORIG_AX);
#endif
    exits.increment(key);
    return 0;
}
"""
PROGRAMS = {"empty": EMPTY, "words": COUNT, "all": f"#define ALL\n{COUNT}"}


def main() -> None:
    os.environ["BCC_KERNEL_SOURCE"] = str(resources.directory("probes") / "kernel-tree")
    from bcc import BPF

    with KernelTypes() as types:
        flags = defines(offsets.definitions(types))
    module = BPF(text=PROGRAMS[sys.argv[1]], cflags=[*flags, *USER_HEADERS])
    module.attach_raw_tracepoint(tp=b"sys_exit", fn_name=b"on_sys_exit")
    print("attached", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


if __name__ == "__main__":
    main()
