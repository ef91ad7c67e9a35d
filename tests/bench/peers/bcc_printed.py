"""A bcc tool that counts exits by name and system call, and prints all of them once a second.

Says `attached`, and ends by SIGINT.
"""

from __future__ import annotations

import contextlib
import os
import time

from tifbpf import resources
from tifbpf.recorder.loader import USER_HEADERS

_TEXT = """
struct key {
    char comm[16];
    s64 syscall;
};
BPF_HASH(exits, struct key, u64, 16384);

int on_sys_enter(struct bpf_raw_tracepoint_args *ctx) {
    struct key key = {.syscall = ctx->args[1]};
    bpf_get_current_comm(&key.comm, sizeof(key.comm));
    exits.increment(key);
    return 0;
}
"""


def main() -> None:
    os.environ["BCC_KERNEL_SOURCE"] = str(resources.directory("probes") / "kernel-tree")
    from bcc import BPF

    module = BPF(text=_TEXT, cflags=[*USER_HEADERS])
    module.attach_raw_tracepoint(tp=b"sys_enter", fn_name=b"on_sys_enter")
    print("attached", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(1)
            for key, value in module["exits"].items_lookup_and_delete_batch():
                print(key.comm.decode(errors="replace"), key.syscall, value)


if __name__ == "__main__":
    main()
