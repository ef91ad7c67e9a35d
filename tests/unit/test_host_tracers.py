from __future__ import annotations

from pathlib import Path

from tifbpf.host.tracers import Tracer, find


def process(proc: Path, pid: int, comm: str, descriptors: dict[int, tuple[str, str]]) -> None:
    directory = proc / str(pid)
    (directory / "fd").mkdir(parents=True)
    (directory / "fdinfo").mkdir()
    (directory / "comm").write_text(comm + "\n")
    for number, (target, info) in descriptors.items():
        (directory / "fd" / str(number)).symlink_to(target)
        (directory / "fdinfo" / str(number)).write_text(info)


def link(tracepoint: str) -> tuple[str, str]:
    head = "pos:\t0\nflags:\t02000000\nlink_type:\traw_tracepoint\nlink_id:\t7\nprog_tag:\tf4\n"
    return "anon_inode:bpf_link", f"{head}tp_name:\t{tracepoint}\n"


def events(tracefs: Path, **switches: str) -> Path:
    for name, state in switches.items():
        path = tracefs / "events" / name.replace("__", "/") / "enable"
        path.parent.mkdir(parents=True)
        path.write_text(state)
    return tracefs


def test_holders_of_raw_tracepoints(tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    process(
        proc,
        10,
        "syscount",
        {3: ("/dev/null", ""), 4: link("sys_exit"), 5: link("sys_enter"), 6: link("sys_exit")},
    )
    process(proc, 11, "other", {4: link("sched_switch")})
    tracefs = events(
        tmp_path / "tracing", raw_syscalls__sys_enter="0\n", raw_syscalls__sys_exit="0\n", syscalls="0\n"
    )
    found = find(proc, tracefs)
    assert sorted(found.found, key=lambda tracer: tracer.hook) == [
        Tracer(hook="sys_enter", how="BPF", pid=10, comm="syscount"),
        Tracer(hook="sys_exit", how="BPF", pid=10, comm="syscount"),
    ]
    assert found.unseen == ()


def test_trace_events_that_are_on(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    tracefs = events(
        tmp_path / "tracing", raw_syscalls__sys_enter="0\n", raw_syscalls__sys_exit="1*\n", syscalls="X\n"
    )
    assert find(tmp_path / "proc", tracefs).found == (
        Tracer(hook="raw_syscalls:sys_exit", how="trace event"),
        Tracer(hook="syscalls", how="trace event"),
    )


def test_what_makes_no_sense_is_passed_over(tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    process(
        proc,
        10,
        "odd",
        {4: ("anon_inode:bpf_link", "link_type:\t<unknown>\n"), 5: ("anon_inode:bpf_link", "\xff")},
    )
    (proc / "10" / "fdinfo" / "5").unlink()
    (proc / "11").mkdir()
    (proc / "12").write_text("")
    tracefs = tmp_path / "tracing"
    (tracefs / "events" / "raw_syscalls" / "sys_exit" / "enable").mkdir(parents=True)
    found = find(proc, tracefs)
    assert found.found == ()
    assert len(found.unseen) == 1
    assert "Is a directory" in found.unseen[0]
