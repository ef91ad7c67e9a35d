"""Answers `GET /metrics`, and nothing else, to whoever asks; slow clients cost nobody else anything."""

from __future__ import annotations

import io
import os
import signal
import socket
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, NoReturn

from prometheus_client import exposition
from prometheus_client.openmetrics import exposition as openmetrics

from tifbpf.host.unprivileged import Account, become
from tifbpf.metrics.families import SnapshotCollector
from tifbpf.metrics.pipe import received
from tifbpf.metrics.snapshot import Snapshot

PATH = "/metrics"
CLIENTS = 8
"""At a time. Prometheus needs one."""
PATIENCE_S = 1.0
"""For how long the next one waits before it is turned away."""
REQUEST_BYTES = 16 * 1024
"""Request line and headers; Prometheus sends 300 bytes."""
DEADLINE_S = 10.0
"""From accepting a client to the last byte of its answer: Prometheus' own scrape_timeout."""


class _Patience(io.RawIOBase):
    """A socket's bytes, up to so many, until it is too late."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline
        self._left = REQUEST_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.limit_time()
        count = self._connection.recv_into(memoryview(buffer)[: self._left])
        self._left -= count
        return count

    def limit_time(self) -> None:
        """Let the next operation on the socket last until the deadline, and no longer."""
        self._connection.settimeout(max(self._deadline - time.monotonic(), 0.001))


class _Handler(BaseHTTPRequestHandler):
    server: MetricsServer
    server_version = "tifbpf"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        self._patience = _Patience(self.connection, time.monotonic() + DEADLINE_S)
        self.rfile = io.BufferedReader(self._patience)

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != PATH:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        snapshot = self.server.snapshot
        if snapshot is None:
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, "not attached yet")
            return
        # prometheus_client's choose_encoder() would let the client choose words of our answer's header.
        if "application/openmetrics-text" in (self.headers.get("Accept") or ""):
            body = openmetrics.generate_latest(SnapshotCollector(snapshot))  # type: ignore[no-untyped-call]
            content_type = openmetrics.CONTENT_TYPE_LATEST
        else:
            body = exposition.generate_latest(SnapshotCollector(snapshot))
            content_type = exposition.CONTENT_TYPE_PLAIN_0_0_4
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self._patience.limit_time()
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 (the library's names)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the library's name)
        """Say nothing: a log that any client can fill is none."""


class MetricsServer(ThreadingMixIn, TCPServer):
    """The server; `snapshot` is what it answers."""

    daemon_threads = True
    snapshot: Snapshot | None = None

    def __init__(self, listener: socket.socket) -> None:
        """Answer on `listener`, which is bound and listens."""
        super().__init__(listener.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self._slots = threading.BoundedSemaphore(CLIENTS)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, if there is one left."""
        if not self._slots.acquire(timeout=PATIENCE_S):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no further thread
            self._slots.release()
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer one client."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Forget a client that went away or was too slow; anything else is a mistake of ours, and is told."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def answer(listener: socket.socket, snapshots: int, account: Account) -> NoReturn:
    """Become `account` and answer on `listener` until nobody sends snapshots any more.

    Args:
        listener: bound, and listening.
        snapshots: descriptor of the pipe that they come through.
        account: whom to run as, without any capability.
    """
    # What ends an exporter is for the process that reads the maps; this one ends with it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    become(account)
    server = MetricsServer(listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for snapshot in received(snapshots):
        server.snapshot = snapshot
    os._exit(0)
