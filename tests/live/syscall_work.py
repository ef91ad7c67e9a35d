"""Prints the syscall_work word of this very task, read by a BPF program that is not tifbpf's.

Run as a program, for LLVM's sake: `python -m tests.live.syscall_work`.
"""

from __future__ import annotations

import ctypes
import os

from tifbpf import resources

# struct bpf_test_run_opts, all zero but its size.
OPTIONS_SIZE = 72

TEXT = """
BPF_ARRAY(seen, u64, 1);
int look(void *ctx) {
    int zero = 0;
    u64 *value = seen.lookup(&zero);
    /* thread_info is the first member of task_struct, syscall_work its second (since 5.11). */
    if (value)
        bpf_probe_read_kernel(value, sizeof(*value), (char *)bpf_get_current_task() + 8);
    return 0;
}
"""


def main() -> None:
    os.environ["BCC_KERNEL_SOURCE"] = str(resources.directory("probes") / "kernel-tree")
    from bcc import BPF

    includes = ["-idirafter", "/usr/include", "-idirafter", "/usr/include/x86_64-linux-gnu"]
    program = BPF(text=TEXT, cflags=includes)
    look = program.load_func("look", BPF.RAW_TRACEPOINT)
    options = (ctypes.c_size_t * (OPTIONS_SIZE // 8))(OPTIONS_SIZE)
    if ctypes.CDLL("libbpf.so.1").bpf_prog_test_run_opts(look.fd, options) != 0:
        raise SystemExit("BPF_PROG_TEST_RUN was refused")
    print(f"{program['seen'][0].value:#x}")


if __name__ == "__main__":
    main()
