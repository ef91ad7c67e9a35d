from __future__ import annotations

import os

from tifbpf.recorder.kprobe_events import event_name, left_behind, misses
from tifbpf.recording import process

# As Linux 4.4 and 5.10 print them; 4194304 is above every pid_max.
LISTING = """\
p:tifbpf/exit_to_usermode_loop_{pid}_{start} exit_to_usermode_loop
p:tifbpf/exit_to_usermode_loop_{pid}_1 exit_to_usermode_loop
p:tifbpf/syscall_slow_exit_work_4194304_99 syscall_slow_exit_work
r4:kprobes/myretprobe do_sys_open ret=$retval
p:tifbpf/mine do_sys_open
p:kprobes/tifbpf_4194304_99 do_sys_open
"""
PROFILE = """\
  exit_to_usermode_loop_77_1234                             1500                3
  syscall_slow_exit_work_77_1234                               0                0
"""


def test_what_the_dead_left_and_nothing_else() -> None:
    pid = os.getpid()
    listing = LISTING.format(pid=pid, start=process.start_time(pid))
    assert list(left_behind(listing)) == [
        # Our pid, but of a process that began at another time.
        f"tifbpf/exit_to_usermode_loop_{pid}_1",
        "tifbpf/syscall_slow_exit_work_4194304_99",
    ]


def test_a_name_is_found_again() -> None:
    name = event_name("do_notify_resume", 4194304, 99)
    assert name == "tifbpf/do_notify_resume_4194304_99"
    assert list(left_behind(f"p:{name} do_notify_resume\n")) == [name]


def test_what_a_kprobe_missed() -> None:
    assert misses(PROFILE, "exit_to_usermode_loop_77_1234") == 3
    assert misses(PROFILE, "syscall_slow_exit_work_77_1234") == 0
    assert misses(PROFILE, "exit_to_usermode_loop_77") == 0
