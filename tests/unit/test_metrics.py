"""From intervals to OpenMetrics: what is known, what is bounded, what never shrinks."""

from __future__ import annotations

import json
import os
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.unit.flushes import NEED_RESCHED, NOTIFY_RESUME, SIGPENDING, SYSCALL_TRACE, exits, flush
from tests.unit.recordings import covered, everything, slow_only, uncovered
from tifbpf.errors import TifbpfError
from tifbpf.host import unprivileged
from tifbpf.layouts.model import Context, Word
from tifbpf.metrics import server
from tifbpf.metrics.catalogue import METRICS, OTHER, Kind
from tifbpf.metrics.counts import Bounded, Counts
from tifbpf.metrics.families import SnapshotCollector
from tifbpf.metrics.pipe import Sender, received
from tifbpf.metrics.snapshot import Snapshot
from tifbpf.metrics.textfile import Textfile
from tifbpf.recorder.session import Flush
from tifbpf.recording.metadata import Losses, ObserverEffect, Totals, UnseenBit

ROOT = Path(__file__).parents[2]


def snapshot(*flushes: Flush, dimensions: tuple[str, ...] = (), max_series: int = 100) -> Snapshot:
    counts = Counts(dimensions, max_series)
    for one in flushes:
        counts.add(one)
    return counts.snapshot(flushes[-1].metadata)


def values(found: Snapshot, name: str) -> dict[tuple[str, ...], float]:
    return dict(found.values.get(name, []))


def test_exits_become_counters() -> None:
    found = snapshot(
        flush(
            [
                exits(0, 90),
                exits(SIGPENDING, 6),
                exits(SIGPENDING | NEED_RESCHED, 3),
                exits(0, 1, syscall_work=SYSCALL_TRACE),
            ]
        )
    )
    assert values(found, "tifbpf_exits") == {("syscall",): 100}
    assert values(found, "tifbpf_slow_exits") == {("syscall", "loop"): 9, ("syscall", "syscall_work"): 1}
    triggers = values(found, "tifbpf_trigger_exits")
    assert {labels[2]: count for labels, count in triggers.items() if count} == {
        "SIGPENDING": 9,
        "NEED_RESCHED": 3,
        "SYSCALL_TRACE": 1,
    }
    # From 0 on, or the first increase would be none to Prometheus.
    assert triggers["syscall", "tif", "UPROBE"] == 0
    sole = values(found, "tifbpf_sole_trigger_exits")
    assert sole["syscall", "tif", "SIGPENDING"] == 6
    assert sole["syscall", "tif", "NEED_RESCHED"] == 0
    assert values(found, "tifbpf_word_exits") == {
        ("syscall", "SIGPENDING", "0"): 6,
        ("syscall", "SIGPENDING|NEED_RESCHED", "0"): 3,
        ("syscall", "0", "SYSCALL_TRACE"): 1,
    }
    assert values(found, "tifbpf_lost_exits") == {
        ("map_full",): 0,
        ("read_failed",): 0,
        ("recursion",): 0,
        ("kprobe_misses",): 0,
        ("unclassified",): 0,
    }


def test_what_is_not_covered_is_absent_and_not_zero() -> None:
    found = snapshot(flush([exits(0, 1)]))
    assert values(found, "tifbpf_context_covered") == {("syscall",): 1, ("interrupt",): 0, ("exception",): 0}
    for name in ("tifbpf_exits", "tifbpf_slow_exits", "tifbpf_trigger_exits", "tifbpf_coverage"):
        assert {labels[0] for labels in values(found, name)} == {"syscall"}


def test_all_exits_that_nobody_counts_are_absent() -> None:
    contexts = (
        slow_only(Context.SYSCALL, denominator=None),
        uncovered(Context.INTERRUPT),
        uncovered(Context.EXCEPTION),
    )
    found = snapshot(flush([exits(SIGPENDING, 5), exits(0, 2)], contexts=contexts), dimensions=("comm",))
    assert values(found, "tifbpf_exits") == values(found, "tifbpf_comm_exits") == {}
    # Whatever a slow-only route saw was slow, even if its bits were gone.
    assert values(found, "tifbpf_slow_exits") == {
        ("syscall", "loop"): 5,
        ("syscall", "syscall_work"): 0,
        ("syscall", "unknown"): 2,
    }
    assert values(found, "tifbpf_comm_slow_exits") == {("syscall", "make"): 7}
    assert values(found, "tifbpf_coverage") == {("syscall", "loop", "to a few instructions", "unknown"): 1}


def test_all_exits_that_are_counted_apart_are_the_denominator() -> None:
    contexts = (slow_only(Context.SYSCALL), uncovered(Context.INTERRUPT), uncovered(Context.EXCEPTION))
    rows = [exits(SIGPENDING, 5), exits(None, 50)]
    found = snapshot(flush(rows, contexts=contexts), dimensions=("syscall",))
    assert values(found, "tifbpf_exits") == {("syscall",): 50}
    assert values(found, "tifbpf_syscall_exits") == {("syscall", "getpid"): 50}
    assert values(found, "tifbpf_syscall_slow_exits") == {("syscall", "getpid"): 5}
    # Fewer than were slow cannot be all of them.
    found = snapshot(flush([exits(SIGPENDING, 5), exits(None, 4)], contexts=contexts))
    assert values(found, "tifbpf_exits") == {}


def test_bits_that_cannot_be_told_are_absent() -> None:
    contexts = (
        covered(Context.SYSCALL, unseen=(UnseenBit(word=Word.TIF, bit="UPROBE"),), blind_cpus=(3,)),
        uncovered(Context.INTERRUPT),
        uncovered(Context.EXCEPTION),
    )
    ours = ObserverEffect(word=Word.SYSCALL_WORK, bit="SYSCALL_TRACE", ours=True, text="")
    found = snapshot(flush([exits(0, 1)], contexts=contexts, observer_effects=(ours,)))
    bits = {labels[2] for labels in values(found, "tifbpf_trigger_exits")}
    assert bits == {
        "NOTIFY_RESUME",
        "SIGPENDING",
        "NOTIFY_SIGNAL",
        "NEED_RESCHED",
        "NEED_RESCHED_LAZY",
        "PATCH_PENDING",
    }
    assert values(found, "tifbpf_unseen_bit") == {("syscall", "tif", "UPROBE"): 1}
    assert values(found, "tifbpf_unseen_cpu") == {("syscall", "3"): 1}
    assert values(found, "tifbpf_observer_effect") == {("syscall_work", "SYSCALL_TRACE", "true"): 1}


def test_nothing_ever_shrinks() -> None:
    counts = Counts(("comm",), 3)
    rounds = [
        ([exits(SIGPENDING, 5, comm="a"), exits(0, 10, comm="b")], 2),
        ([], 2),
        ([exits(NOTIFY_RESUME, 1, comm=f"c{number}") for number in range(10)], 1),
        ([exits(0, 3, comm="a")], 7),
    ]
    before: dict[tuple[str, tuple[str, ...]], float] = {}
    for rows, lost in rounds:
        one = flush(rows, totals=Totals(losses=Losses(map_full=lost), uncounted=lost))
        counts.add(one)
        now = {
            (metric.name, labels): value
            for metric in METRICS
            if metric.kind is Kind.COUNTER
            for labels, value in counts.snapshot(one.metadata).values.get(metric.name, [])
        }
        assert before.keys() <= now.keys()
        assert all(now[key] >= value for key, value in before.items())
        before = now
    assert before["tifbpf_exits", ("syscall",)] == 28
    assert before["tifbpf_lost_exits", ("map_full",)] == 7


def test_what_comes_late_is_folded_and_nothing_is_lost() -> None:
    rows = [exits(SIGPENDING, 1, comm=f"p{number}") for number in range(1000)]
    found = snapshot(flush(rows[:500]), flush(rows[500:] + rows[:500]), dimensions=("comm",), max_series=20)
    by_comm = values(found, "tifbpf_comm_slow_exits")
    assert len(by_comm) == 21
    assert sum(by_comm.values()) == 1500
    assert by_comm["syscall", "p0"] == 2
    assert by_comm["syscall", OTHER] == 1500 - 20 * 2
    assert values(found, "tifbpf_folded_exits") == {
        ("tifbpf_word_exits",): 0,
        ("tifbpf_comm_exits",): 1460,
        ("tifbpf_comm_slow_exits",): 1460,
    }


def test_somebody_may_be_called_other() -> None:
    bounded = Bounded(1, 1)
    for name in (OTHER, "a", "b", OTHER):
        bounded.add(("syscall", name), 1)
    assert bounded.values() == {("syscall", OTHER): 4}
    assert bounded.folded == 2


HOSTILE = [
    "\x1b[31mred",
    'a"} 1\nevil_total{x="y',
    "back\\slash",
    "=cmd()",
    "<script>alert(1)</script>",
    "\\xff\\xfe",
    "\u202eright-to-left",
    "",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_harmless_in_both_formats(name: str) -> None:
    found = SnapshotCollector(snapshot(flush([exits(SIGPENDING, 7, comm=name)]), dimensions=("comm",)))
    for text in (openmetrics(found), generate_latest(found)):
        assert b"\x1b" not in text
        assert "\u202e" not in text.decode()
        assert not [line for line in text.decode().splitlines() if line.startswith("evil")]
    families = {family.name: family for family in text_string_to_metric_families(openmetrics(found).decode())}
    assert families.keys() <= {metric.name for metric in METRICS}
    (sample,) = families["tifbpf_comm_slow_exits"].samples
    assert sample.value == 7
    assert sample.labels["comm"].isprintable()


def test_openmetrics_has_help_unit_and_creation() -> None:
    text = openmetrics(SnapshotCollector(snapshot(flush([exits(0, 3)], contexts=everything())))).decode()
    assert "# HELP tifbpf_exits Returns to user space, fast and slow; absent where" in text
    assert "# UNIT tifbpf_observed_seconds seconds\n" in text
    assert 'tifbpf_exits_total{context="interrupt"} 0.0\n' in text
    assert 'tifbpf_exits_created{context="interrupt"} 1.78e+09\n' in text
    assert "tifbpf_trigger_exits_created" not in text
    assert text.endswith("# EOF\n")


def test_the_page_has_every_metric() -> None:
    page = (ROOT / "docs" / "export.md").read_text()
    suffixes = {Kind.COUNTER: "_total", Kind.INFO: "_info", Kind.GAUGE: ""}
    for metric in METRICS:
        dimension = metric.labels[-1] if metric.bounded == 1 else None
        name = metric.name.replace(f"_{dimension}_", "_DIMENSION_") if dimension else metric.name
        assert f"`{name}{suffixes[metric.kind]}`" in page, name


RULES = (ROOT / "reports" / "prometheus" / "tifbpf.rules.yml").read_text()
DASHBOARD = json.loads((ROOT / "reports" / "grafana" / "tifbpf.json").read_text())


def test_dashboard_and_rules_ask_for_metrics_that_there_are() -> None:
    suffixes = {Kind.COUNTER: "_total", Kind.INFO: "_info", Kind.GAUGE: ""}
    there = {f"{metric.name}{suffixes[metric.kind]}" for metric in METRICS}
    for text in (
        *(target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]),
        *re.findall(r"^ +expr: (.*)", RULES, re.MULTILINE),
    ):
        asked = set(re.findall(r"(?<![\w:])tifbpf_\w+", text))
        assert asked <= there, text
        assert asked or ":tifbpf_" in text or "up{" in text, text


def test_the_page_has_every_alert() -> None:
    alerts = re.findall(r"- alert: (\w+)", RULES)
    page = (ROOT / "docs" / "export.md").read_text()
    assert re.findall(r"^\| (Tifbpf\w+) ", page, re.MULTILINE) == alerts


def test_no_panel_hides_another() -> None:
    taken = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    identities = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(identities) == len(set(identities))
    assert all(panel["title"] and panel["description"] for panel in DASHBOARD["panels"])


def test_snapshots_go_through_a_pipe() -> None:
    reading, writing = os.pipe()
    sender = Sender(writing)
    # More than a pipe holds: the rest goes when somebody has read.
    large = snapshot(
        flush([exits(SIGPENDING, 1, comm=f"p{number}") for number in range(5_000)]),
        dimensions=("comm",),
        max_series=5_000,
    )
    sender.send(large)
    sender.send(large)
    stream = received(reading)
    found: list[Snapshot] = []
    reader = threading.Thread(target=lambda: found.extend(stream))
    reader.start()
    while not found:
        sender.send(large)
    sender.close()
    reader.join()
    assert found[0].values["tifbpf_comm_slow_exits"] == large.values["tifbpf_comm_slow_exits"]


def test_a_reader_that_is_gone_is_told() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    sender = Sender(writing)
    with pytest.raises(TifbpfError, match="has ended"):
        sender.send(snapshot(flush([])))
    sender.close()


def test_a_textfile_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = tmp_path / "a.prom"
    theirs.mkdir()
    textfile = Textfile(theirs)
    with pytest.raises(TifbpfError, match="Is a directory"):
        textfile.send(snapshot(flush([])))
    textfile.close()
    assert list(tmp_path.iterdir()) == [theirs]


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[server.MetricsServer, tuple[str, int]]]:
    monkeypatch.setattr(server, "DEADLINE_S", 0.3)
    listener = socket.create_server(("127.0.0.1", 0))
    found = server.MetricsServer(listener)
    thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found, listener.getsockname()
    found.shutdown()
    thread.join()
    found.server_close()


def ask(address: tuple[str, int], request: bytes = b"GET /metrics HTTP/1.1\r\n\r\n") -> bytes:
    with socket.create_connection(address, timeout=30) as client:
        client.sendall(request)
        answer = b""
        while data := client.recv(65536):
            answer += data
    return answer


def test_before_the_first_snapshot_it_is_unavailable(
    serving: tuple[server.MetricsServer, tuple[str, int]],
) -> None:
    found, address = serving
    assert ask(address).startswith(b"HTTP/1.0 503 ")
    found.snapshot = snapshot(flush([]))
    assert ask(address).startswith(b"HTTP/1.0 200 ")


@pytest.mark.parametrize(
    "accept",
    [
        b"application/openmetrics-text; version=abc",
        b"application/openmetrics-text; version=1.0.0\r\n X-Injected: yes",
        b"application/openmetrics-text; version=9.9.9; escaping=values",
        b"text/plain; version=\xff",
    ],
)
def test_no_word_of_a_client_is_in_the_answer(
    serving: tuple[server.MetricsServer, tuple[str, int]], accept: bytes
) -> None:
    found, address = serving
    found.snapshot = snapshot(flush([exits(SIGPENDING, 1)]))
    answer = ask(address, b"GET /metrics HTTP/1.1\r\nAccept: " + accept + b"\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 ")
    kind = re.search(rb"^Content-Type: (.*)\r$", head, re.MULTILINE)
    assert kind
    assert kind[1] in (
        b"application/openmetrics-text; version=1.0.0; charset=utf-8",
        b"text/plain; version=0.0.4; charset=utf-8",
    )
    assert b"X-Injected" not in answer
    assert b'tifbpf_exits_total{context="syscall"} 1.0\n' in body


def test_whoever_dawdles_is_cut_off(serving: tuple[server.MetricsServer, tuple[str, int]]) -> None:
    found, address = serving
    found.snapshot = snapshot(flush([]))
    # As many as are answered at a time, each sending a byte now and then.
    slow = [socket.create_connection(address, timeout=30) for _ in range(server.CLIENTS)]
    for client in slow:
        client.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
    for client in slow:
        # It ends by the deadline, not by a byte that never comes.
        assert client.recv(1) == b""
        client.close()
    assert ask(address).startswith(b"HTTP/1.0 200 ")


def test_nobody_becomes_whom_sudo_names_unless_that_is_root() -> None:
    assert unprivileged.caller({"SUDO_UID": "1000", "SUDO_GID": "100"}) == (1000, 100)
    nobody = unprivileged.caller({})
    assert nobody.uid == 65534
    for environment in (
        {"SUDO_UID": "0", "SUDO_GID": "0"},
        {"SUDO_UID": "1000"},
        {"SUDO_UID": "-1", "SUDO_GID": "1"},
    ):
        assert unprivileged.caller(environment) == nobody
