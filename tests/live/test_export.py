"""`tifbpf export`: what it answers, as whom, and what a real Prometheus makes of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.live.conftest import run
from tests.live.exporter import OPENMETRICS, Exporter, Prometheus, exercise_as, free_port, status
from tifbpf.metrics.catalogue import BY_NAME

pytestmark = [pytest.mark.live, pytest.mark.requires("raw_tracepoint")]

ROOT = Path(__file__).parents[2]
RULES = ROOT / "reports" / "prometheus" / "tifbpf.rules.yml"
DASHBOARD = ROOT / "reports" / "grafana" / "tifbpf.json"
NAME = "tifbpf-exact"
HOSTILE = b'\xff"}\\\n\x1b[1mx'
NOBODY = "65534"


@pytest.fixture(scope="module")
def exporter() -> Iterator[Exporter]:
    found = Exporter("--listen", "127.0.0.1:0", "--by", "comm,syscall", "--interval", "0.2")
    yield found
    found.close()


def test_both_processes_are_nobody_and_may_do_nothing(exporter: Exporter) -> None:
    reader = status(exporter.process.pid)
    (child,) = exporter.children
    server = status(child)
    none = "0" * 16
    for process in (reader, server):
        assert set(process["Uid"].split()) == set(process["Gid"].split()) == {NOBODY}
        assert process["Groups"] == ""
        assert {process[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {none}
        assert process["NoNewPrivs"] == "1"


def test_who_called_sudo_is_whom_it_becomes() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUDO_UID", "1234")
        patch.setenv("SUDO_GID", "2345")
        exporter = Exporter("--listen", "127.0.0.1:0")
    try:
        for pid in (exporter.process.pid, *exporter.children):
            assert set(status(pid)["Uid"].split()) == {"1234"}
            assert set(status(pid)["Gid"].split()) == {"2345"}
    finally:
        exporter.close()


def test_the_descriptors_of_the_kernel_are_not_the_servers(exporter: Exporter) -> None:
    (child,) = exporter.children
    ours = [str(link.readlink()) for link in Path(f"/proc/{exporter.process.pid}/fd").iterdir()]
    theirs = [str(link.readlink()) for link in Path(f"/proc/{child}/fd").iterdir()]
    assert any("bpf" in name for name in ours)
    assert not any("bpf" in name or "perf" in name for name in theirs)


def test_it_answers_in_both_formats(exporter: Exporter) -> None:
    code, kind, body = exporter.get(Accept=OPENMETRICS)
    assert code == 200
    assert kind.startswith("application/openmetrics-text")
    families = {family.name: family for family in text_string_to_metric_families(body)}
    assert families.keys() <= BY_NAME.keys()
    assert {
        "tifbpf_exits",
        "tifbpf_slow_exits",
        "tifbpf_trigger_exits",
        "tifbpf_lost_exits",
    } <= families.keys()
    assert families["tifbpf_observed_seconds"].unit == "seconds"
    for name, family in families.items():
        assert family.documentation == BY_NAME[name].help
        assert family.type == BY_NAME[name].kind.value
    assert exporter.get()[1].startswith("text/plain; version=0.0.4")


def test_counters_never_go_backwards(exporter: Exporter) -> None:
    before = exporter.samples()
    for _ in range(5):
        time.sleep(0.3)
        now = exporter.samples()
        for key, value in before.items():
            if key[0].endswith("_total"):
                assert now[key] >= value
        before = now


def test_it_serves_nothing_else(exporter: Exporter) -> None:
    for path in ("/", "/metrics/", "/metric", "/../etc/passwd", "/%2e%2e/etc/passwd"):
        assert exporter.get(path)[0] == 404
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
        assert exporter.get(method=method)[0] == 501
    assert exporter.get(method="HEAD")[::2] == (200, "")
    assert exporter.get("/metrics?name[]=x")[0] == 200


@pytest.mark.parametrize(
    "request_",
    [
        b"\0" * 100_000,
        b"GET /metrics HTTP/1.1\r\n" + b"A: b\r\n" * 100_000,
        b"GET /" + b"x" * 1_000_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /metrics HTTP/9.9\r\n\r\n",
        b"GET\r\n\r\n",
        b"\xff\xfe\r\n\r\n",
        b"",
    ],
)
def test_a_malformed_client_does_not_stop_it(exporter: Exporter, request_: bytes) -> None:
    # It need not hear all of that out.
    with contextlib.suppress(OSError), socket.create_connection(exporter.address, timeout=30) as client:
        client.sendall(request_)
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass
    assert exporter.get()[0] == 200
    assert exporter.process.poll() is None


def test_clients_that_say_nothing_do_not_stop_it(exporter: Exporter) -> None:
    silent = [socket.create_connection(exporter.address, timeout=30) for _ in range(50)]
    for client in silent:
        client.close()
    assert exporter.get()[0] == 200
    # No more threads than there are clients at a time.
    (child,) = exporter.children
    assert int(status(child)["Threads"]) <= 2 + 8


def test_names_of_processes_are_harmless(exporter: Exporter) -> None:
    script = (
        f"import ctypes, os; ctypes.CDLL(None).prctl(15, {HOSTILE!r}, 0, 0, 0)\n"
        "for _ in range(1000): os.getppid()"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    shown = r"\\\\xff\"}\\\\\\n\\x1b[1mx"
    for _ in range(100):
        if shown in (body := exporter.get()[2]):
            break
        time.sleep(0.1)
    assert f'comm="{shown}"' in body
    assert body.isprintable() or set(re.findall(r"[^ -~]", body)) == {"\n"}


@pytest.mark.parametrize("include", [False, True])
def test_the_exits_of_both_processes_are_left_out(include: bool) -> None:
    exporter = Exporter(
        *("--listen", "127.0.0.1:0", "--interval", "0.1", "--syscall", "accept4", "--by", "syscall"),
        *(["--include-self"] if include else []),
    )
    try:
        for _ in range(200):
            exporter.get()
        time.sleep(0.5)
        labels = frozenset({("context", "syscall"), ("syscall", "accept4")})
        counted = exporter.samples().get(("tifbpf_syscall_exits_total", labels), 0)
        assert (counted >= 200) == include
    finally:
        exporter.close()


def test_an_end_by_a_signal_is_a_success_and_leaves_nobody() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        exporter = Exporter("--listen", "127.0.0.1:0")
        (child,) = exporter.children
        assert exporter.end(number) == 0
        assert not Path(f"/proc/{child}").exists()


def test_without_the_one_the_other_ends() -> None:
    exporter = Exporter("--listen", "127.0.0.1:0", "--interval", "0.1")
    (child,) = exporter.children
    exporter.process.kill()
    exporter.process.wait()
    for _ in range(100):
        if not Path(f"/proc/{child}").exists() or status(child)["State"].startswith("Z"):
            break
        time.sleep(0.05)
    assert not Path(f"/proc/{child}").exists() or status(child)["State"].startswith("Z")
    exporter.close()

    exporter = Exporter("--listen", "127.0.0.1:0", "--interval", "0.1")
    (child,) = exporter.children
    os.kill(child, signal.SIGKILL)
    _, said = exporter.process.communicate(timeout=60)
    assert exporter.process.returncode == 1
    assert said == "tifbpf: the process that answers Prometheus has ended; start tifbpf anew\n"


def test_a_server_that_is_stopped_does_not_stop_the_counting() -> None:
    exporter = Exporter("--listen", "127.0.0.1:0", "--interval", "0.1", "--by", "syscall", "--comm", NAME)
    try:
        (child,) = exporter.children
        os.kill(child, signal.SIGSTOP)
        subprocess.run(exercise_as(NAME.encode(), "signal", 1_000), check=True, capture_output=True)
        time.sleep(1)
        os.kill(child, signal.SIGCONT)
        for _ in range(100):
            time.sleep(0.1)
            if triggered(exporter, "SIGPENDING") == 1_000:
                break
        assert triggered(exporter, "SIGPENDING") == 1_000
    finally:
        exporter.close()


def triggered(exporter: Exporter, bit: str) -> float:
    labels = frozenset({("context", "syscall"), ("word", "tif"), ("bit", bit)})
    return exporter.samples()["tifbpf_trigger_exits_total", labels]


def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("export", "--listen", f"127.0.0.1:{port}", check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f"tifbpf: cannot listen on 127.0.0.1, port {port}: Address already in use; give another --listen\n"
    )


def test_it_listens_on_ipv6() -> None:
    exporter = Exporter("--listen", "[::1]:0")
    try:
        assert exporter.said.startswith("tifbpf: serving http://[::1]:")
        assert exporter.get()[0] == 200
    finally:
        exporter.close()


@pytest.fixture
def somebodys() -> Iterator[Path]:
    """A directory of somebody's, who can reach it: pytest's own are root's alone."""
    with tempfile.TemporaryDirectory() as directory:
        os.chown(directory, 1234, 2345)
        yield Path(directory)


def test_a_textfile_is_replaced_as_a_whole_and_goes_with_us(somebodys: Path) -> None:
    path = somebodys / "tifbpf.prom"
    exporter = Exporter("--textfile", path, "--interval", "0.1")
    try:
        assert exporter.said == f"tifbpf: writing {path}\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        # Whoever the directory belongs to may replace files in it, and needs no capability for it.
        who = status(exporter.process.pid)
        assert set(who["Uid"].split()) == {"1234"}
        assert who["CapEff"] == who["CapPrm"] == "0" * 16
        inodes = set()
        for _ in range(200):
            inodes.add(path.stat().st_ino)
            body = path.read_text()
            assert body.startswith("# HELP tifbpf_exits_total ")
            assert body.endswith('"} 1.0\n')
            time.sleep(0.005)
        assert len(inodes) > 1
        assert exporter.end() == 0
        assert list(somebodys.iterdir()) == []
    finally:
        exporter.close()


def test_a_textfile_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    done = run("export", "--textfile", tmp_path / "none" / "a.prom", check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "No such file or directory" in done.stderr


def queries() -> list[str]:
    """Return the expressions of the dashboard, as Grafana would send them."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [
        target["expr"].replace("$instance", ".*").replace("$__rate_interval", "1m")
        for panel in panels
        for target in panel["targets"]
    ]


@pytest.mark.requires("prometheus")
def test_a_real_prometheus_counts_what_was_caused(tmp_path: Path) -> None:
    n = 4_321
    exporter = Exporter("--listen", f"127.0.0.1:{free_port()}", "--by", "comm,syscall", "--comm", NAME)
    prometheus = None
    try:
        prometheus = Prometheus(tmp_path, exporter.address, RULES)
        series = 'tifbpf_trigger_exits_total{job="tifbpf",context="syscall",word="tif",bit="SIGPENDING"}'
        for _ in range(300):
            if prometheus.value(series) is not None:
                break
            time.sleep(0.1)
        assert prometheus.value(series) == 0
        for caused in (n, 2 * n):
            subprocess.run(exercise_as(NAME.encode(), "signal", n), check=True, capture_output=True)
            for _ in range(300):
                if prometheus.value(series) == caused:
                    break
                time.sleep(0.1)
            assert prometheus.value(series) == caused
        assert prometheus.value('tifbpf_syscall_exits_total{syscall="kill",context="syscall"}') == 2 * n
        assert prometheus.value('tifbpf_syscall_slow_exits_total{syscall="kill",context="syscall"}') == 2 * n
        assert prometheus.value("sum(tifbpf_lost_exits_total)") == 0
        assert prometheus.value('up{job="tifbpf"}') == 1

        # Every query of the dashboard is understood; those of what was caused have an answer.
        for expression in queries():
            result = prometheus.query(expression)
            if not any(name in expression for name in ("unseen_bit", "> 0")):
                assert result, expression
        assert prometheus.query(next(query for query in queries() if "sole_trigger" in query))

        # Every rule was evaluated without an error, and the recording rules have results.
        groups = prometheus.api("rules")
        assert isinstance(groups, dict)
        rules = [rule for group in groups["groups"] for rule in group["rules"]]
        assert len(rules) == 10
        for _ in range(100):
            groups = prometheus.api("rules")
            assert isinstance(groups, dict)
            rules = [rule for group in groups["groups"] for rule in group["rules"]]
            if all(rule["health"] != "unknown" for rule in rules):
                break
            time.sleep(0.1)
        assert {rule["health"] for rule in rules} == {"ok"}, rules
        assert prometheus.query("context:tifbpf_slow_exits:ratio_rate5m")
        assert prometheus.query("context_bit:tifbpf_trigger_exits:ratio_rate5m")
    finally:
        if prometheus:
            prometheus.close()
        exporter.close()


@pytest.mark.requires("prometheus")
def test_promtool_finds_nothing_wrong(exporter: Exporter) -> None:
    subprocess.run(["promtool", "check", "rules", RULES], check=True, capture_output=True)
    # Which series make which alert fire: promtool's own kind of test.
    series = ROOT / "tests" / "data" / "tifbpf.rules.test.yml"
    done = subprocess.run(
        ["promtool", "test", "rules", series], capture_output=True, text=True, check=False, cwd=series.parent
    )
    assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=exporter.get()[2], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
