# SPDX-License-Identifier: Apache-2.0
"""What a route asks of WebSockets, with a client and a server that are not ours."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.integration.supervised import supervised
from tests.integration.websocket.kit import TIMEOUT, origin
from tidegate.testing import RunningGateway, gateway

from .kit import shows


def chat(port: int, **settings: object) -> str:
    route = {"path": "/", "to": f"http://127.0.0.1:{port}", **settings}
    return json.dumps({"listeners": {"web": {"port": 0}}, "routes": [route]})


def opened(running: RunningGateway, **options: Any) -> ClientConnection:
    url = f"ws://127.0.0.1:{running.port}/chat"
    opened: ClientConnection = connect(
        url, max_size=None, ping_interval=None, compression=None, proxy=None, **options
    )
    return opened


def quiet(running: RunningGateway) -> socket.socket:
    """A client that says nothing by itself, its WebSocket open."""
    plain = socket.create_connection(("127.0.0.1", running.port), TIMEOUT)
    plain.sendall(
        b"GET /chat HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += plain.recv(1)
    assert head.startswith(b"HTTP/1.1 101 ")
    return plain


def until_end(plain: socket.socket) -> bytes:
    got = b""
    with suppress(ConnectionError):
        while piece := plain.recv(65_536):
            got += piece
    return got


@shows("Route.websocket", "WebSocket.origins")
def test_pages_of_other_origins_open_no_websocket() -> None:
    listed = ["https://shop.example", "https://*.shop.example", "http://localhost:8080", "same"]
    with origin() as (_, port), gateway(chat(port, websocket={"origins": listed})) as running:
        here = f"http://127.0.0.1:{running.port}"
        for good in (
            None,
            "https://shop.example",
            "https://a.b.shop.example",
            "HTTPS://Shop.Example",
            "http://localhost:8080",
            here,
        ):
            with opened(running, origin=good) as client:
                client.send("hello")
                assert client.recv(TIMEOUT) == "hello"
        for wrong in (
            "http://shop.example",
            "https://shop.example.evil.test",
            "https://evilshop.example",
            "https://.shop.example",
            "https://shop.example:8443",
            "null",
            "",
            f"{here}0",
            "https://shop.example https://evil.test",
        ):
            with pytest.raises(InvalidStatus) as refused, opened(running, origin=wrong):
                pass
            assert refused.value.response.status_code == 403, wrong
        denied = [entry for entry in running.log(15) if entry["status"] == 403]
        assert len(denied) == 9 and {entry["error"] for entry in denied} == {"http_request_denied"}


def test_only_websockets_are_asked_where_they_are_from() -> None:
    with origin() as (_, port), gateway(chat(port, websocket={"origins": "https://shop.example"})) as running:
        plain = socket.create_connection(("127.0.0.1", running.port), TIMEOUT)
        plain.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\nOrigin: https://evil.test\r\n\r\n")
        # The origin server's own opinion: it knows WebSockets alone.
        assert plain.recv(65_536).startswith(b"HTTP/1.1 426 ")
        plain.close()


@shows("WebSocket.message_size")
def test_a_message_beyond_the_limit_ends_the_connection_and_is_not_passed_on() -> None:
    with origin() as (seen, port), gateway(chat(port, websocket={"message_size": "64KiB"})) as running:
        with opened(running) as client:
            client.send(b"x" * 65_536)
            assert client.recv(TIMEOUT) == b"x" * 65_536
            client.send([b"y" * 30_000, b"y" * 30_000])
            assert client.recv(TIMEOUT) == b"y" * 60_000
            with pytest.raises(ConnectionClosed) as closed:
                # Of a message in pieces, the pieces before have gone.
                client.send([b"z" * 40_000, b"z" * 40_000])
                client.recv(TIMEOUT)
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1009
        assert seen.end() == 1001
        assert seen.heard == [65_536, 60_000]
        (entry,) = running.log(1)
        assert entry["error"] == "request_body_size" and "message_size" in entry["detail"]


def test_what_is_no_message_ends_a_connection_that_has_a_limit() -> None:
    with origin() as (seen, port), gateway(chat(port, websocket={"message_size": "1000B"})) as running:
        with quiet(running) as client:
            # A text that is not masked, as no client may send it.
            client.sendall(b"\x81\x05hello")
            assert until_end(client) == b"\x88\x02" + struct.pack("!H", 1002)
        assert seen.end() == 1001


@shows("WebSocket.ping")
def test_a_silent_client_is_asked_and_ended_if_it_does_not_answer() -> None:
    with origin() as (seen, port):
        with gateway(chat(port, websocket={"ping": "300ms"})) as running:
            with quiet(running) as client:
                # Not a word: one ping, and in as long again the end.
                assert until_end(client) == b"\x89\x00" + b"\x88\x02" + struct.pack("!H", 1001)
            assert seen.end() == 1001
            (entry,) = running.log(1)
            assert entry["error"] == "client_gone" and "ping" in entry["detail"]
        with gateway(chat(port, websocket={"ping": "1s"})) as running, opened(running) as alive:
            # This one answers pings by itself, as all that follow the RFC do.
            with pytest.raises(TimeoutError):
                alive.recv(3.5)
            alive.send("still here")
            assert alive.recv(TIMEOUT) == "still here"


@pytest.mark.parametrize("which", ["upgraded_idle", "upgraded_life"])
def test_both_sides_are_told_when_time_is_up(which: str) -> None:
    with origin() as (seen, port), gateway(chat(port, timeouts={which: "400ms"})) as running:
        with opened(running) as client, pytest.raises(ConnectionClosed) as closed:
            client.recv(TIMEOUT)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1001
        assert seen.end() == 1001


def test_websockets_that_are_open_when_a_gateway_stops_are_told(tmp_path: Path) -> None:
    with origin() as (seen, port):
        text = f"""
gateway: {{ threads: 1, graceful_stop: 6s }}
listeners: {{ web: {{ address: 127.0.0.1, port: PORT }} }}
routes: [{{ path: /, to: "http://127.0.0.1:{port}" }}]
"""
        with supervised(tmp_path, text) as running:
            url = f"ws://127.0.0.1:{running.port}/chat"
            with connect(url, ping_interval=None, proxy=None) as client:
                client.send("hello")
                assert client.recv(TIMEOUT) == "hello"
                os.kill(running.process.pid, signal.SIGTERM)
                with pytest.raises(ConnectionClosed) as closed:
                    client.recv(TIMEOUT)
                assert closed.value.rcvd is not None and closed.value.rcvd.code == 1001
        assert seen.end() == 1001
