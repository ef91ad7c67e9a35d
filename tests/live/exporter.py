"""A `tifbpf export` that runs beside the test, and HTTP to it."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Mapping
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.live.conftest import TIFBPF

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Exporter:
    """Started, and attached when the constructor returns."""

    def __init__(self, *options: str | Path) -> None:
        self.process = subprocess.Popen(
            [*TIFBPF, "export", *map(str, options)], stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        self.said = self.process.stderr.readline()
        if self.process.poll() is None and not self.said.startswith(("tifbpf: serving", "tifbpf: writing")):
            self.process.kill()
            raise AssertionError(self.said + self.process.stderr.read())

    @property
    def address(self) -> tuple[str, int]:
        url = urllib.parse.urlsplit(self.said.split()[-1])
        assert url.hostname
        assert url.port
        return url.hostname, url.port

    @property
    def children(self) -> list[int]:
        pid = self.process.pid
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

    def get(self, path: str = "/metrics", method: str = "GET", **headers: str) -> tuple[int, str, str]:
        """Return status, content type and body."""
        connection = http.client.HTTPConnection(*self.address, timeout=30)
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, answer.headers.get("Content-Type", ""), body

    def samples(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Return all values by name and labels."""
        _, _, body = self.get()
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(body)
            for sample in family.samples
        }

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        self.process.communicate(timeout=60)
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def status(pid: int) -> Mapping[str, str]:
    """Return the fields of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Prometheus:
    """A Prometheus server of our own, which scrapes one exporter every second."""

    def __init__(self, directory: Path, target: tuple[str, int], rules: Path) -> None:
        self.port = free_port()
        configuration = directory / "prometheus.json"
        # JSON is YAML.
        configuration.write_text(
            json.dumps(
                {
                    "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                    "rule_files": [str(rules)],
                    "scrape_configs": [
                        {
                            "job_name": "tifbpf",
                            "static_configs": [{"targets": [f"{target[0]}:{target[1]}"]}],
                        }
                    ],
                }
            )
        )
        self._log = directory / "prometheus.log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={configuration}",
                    f"--storage.tsdb.path={directory / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                ],
                stdout=log,
                stderr=log,
                cwd=directory,
            )
        for _ in range(300):
            try:
                if self._get("/-/ready")[0] == 200:
                    return
            except OSError:
                pass
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise AssertionError(self._log.read_text())

    def _get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, body

    def api(self, path: str, **parameters: str) -> object:
        """Return the data of an answer that must be a success."""
        _, body = self._get(f"/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        answer = json.loads(body)
        assert answer["status"] == "success", (parameters, answer)
        return answer["data"]

    def query(self, expression: str) -> list[dict[str, object]]:
        """Return the result of an instant query."""
        data = self.api("query", query=expression)
        assert isinstance(data, dict)
        return list(data["result"])

    def value(self, expression: str) -> float | None:
        """Return the value of an expression that has one, None while it has none."""
        result = self.query(expression)
        assert len(result) <= 1, result
        return float(result[0]["value"][1]) if result else None  # type: ignore[index]

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def exercise_as(name: bytes, kind: str, n: int) -> list[str]:
    """Return the command line of an exercise whose threads have that name."""
    script = (
        f"import ctypes; ctypes.CDLL(None).prctl(15, {name!r}, 0, 0, 0); from tifbpf.cli import main; main()"
    )
    return [sys.executable, "-c", script, "exercise", kind, "-n", str(n)]
