# SPDX-License-Identifier: Apache-2.0
"""Clients that leave, or only finish asking, while an endpoint is silent."""

from __future__ import annotations

import socket
import struct
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tidegate.testing import RunningGateway, gateway

REQUEST = b"GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b"9\r\ndata: 1\n\n\r\n"
SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LATE = 20.0
"""Far above the second after which the engine looks, far below the endpoint's hour."""


class Origin:
    """An origin server that says `first`, then nothing until it is told to, and notes when it is left."""

    def __init__(self, first: bytes = b"") -> None:
        self.first = first
        self.asked, self.left, self.go_on = threading.Event(), threading.Event(), threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(self.first)
            self.asked.set()
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()
            while connection.recv(65536):
                pass
            self.left.set()
            self.go_on.set()

    def _answer(self, connection: socket.socket) -> None:
        self.go_on.wait()
        if not self.left.is_set():
            connection.sendall(SHORT)

    def close(self) -> None:
        self.go_on.set()
        self._socket.close()


@pytest.fixture(params=["head", "events"])
def origin(request: pytest.FixtureRequest) -> Iterator[Origin]:
    """Silent before its response, or in the middle of a stream of events."""
    origin = Origin(EVENTS + EVENT if request.param == "events" else b"")
    yield origin
    origin.close()


def behind(origin: Origin, path: Path | None = None) -> RunningGateway:
    unix = "" if path is None else f", local: {{ address: 'unix:{path}' }}"
    timeouts = "timeouts: { first_byte: 1h, stall: 1h }"
    return gateway(
        f"""
gateway: {{ admin: {{ address: 127.0.0.1, port: 0 }} }}
listeners: {{ web: {{ port: 0 }}{unix} }}
backends: {{ b: {{ endpoints: ["127.0.0.1:{origin.port}"], {timeouts} }} }}
routes: [{{ path: /, to: b }}]
"""
    )


def ask(running: RunningGateway, origin: Origin) -> socket.socket:
    """A client whose request is with the endpoint, and to which all that was said has come."""
    client = socket.create_connection(("127.0.0.1", running.port), timeout=LATE)
    client.sendall(REQUEST)
    assert origin.asked.wait(LATE)
    received = b""
    while origin.first and not received.endswith(EVENT):
        received += client.recv(65536)
    return client


def aborted(running: RunningGateway) -> dict[str, Any]:
    """The log's entry of the one request."""
    (entry,) = running.log(1, timeout=LATE)
    return entry


def is_counted(running: RunningGateway) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{running.ports['admin']}/metrics", timeout=LATE) as page:
        return 'tidegate_errors_total{kind="client_gone"} 1' in page.read().decode().splitlines()


def test_a_client_that_resets_is_noticed_and_its_endpoint_told(origin: Origin) -> None:
    with behind(origin) as running:
        client = ask(running, origin)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        assert origin.left.wait(LATE)
        entry = aborted(running)
        assert (entry["error"], entry["status"]) == ("client_gone", 200 if origin.first else 499)
        assert is_counted(running)


def test_a_client_that_closes_a_unix_socket_is_noticed(origin: Origin, tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    with behind(origin, path) as running, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(REQUEST)
        assert origin.asked.wait(LATE)
        client.close()
        assert origin.left.wait(LATE)
        assert aborted(running)["error"] == "client_gone"


def test_a_client_that_closed_is_noticed_once_its_host_has_forgotten_it(origin: Origin) -> None:
    with behind(origin) as running:
        client = ask(running, origin)
        # The kernel keeps the client's half for a second instead of its usual minute.
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_LINGER2, 1)
        client.close()
        assert origin.left.wait(3 * LATE)
        assert aborted(running)["error"] == "client_gone"


def test_a_client_that_only_ends_its_side_gets_its_answer() -> None:
    origin = Origin()
    with behind(origin) as running, ask(running, origin) as client:
        client.shutdown(socket.SHUT_WR)
        # Longer than it takes to notice one that has left.
        assert not origin.left.wait(3)
        origin.go_on.set()
        received = b""
        while not received.endswith(b"ok"):
            more = client.recv(65536)
            assert more, received
            received += more
        assert received.startswith(b"HTTP/1.1 200")
        assert aborted(running)["status"] == 200
    origin.close()


def test_a_client_of_a_unix_socket_that_only_ends_its_side_gets_its_answer(tmp_path: Path) -> None:
    origin, path = Origin(), tmp_path / "web.sock"
    with behind(origin, path), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(LATE)
        client.connect(str(path))
        client.sendall(REQUEST)
        assert origin.asked.wait(LATE)
        client.shutdown(socket.SHUT_WR)
        assert not origin.left.wait(3)
        origin.go_on.set()
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
    origin.close()
