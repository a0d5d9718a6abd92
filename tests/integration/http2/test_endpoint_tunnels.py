# SPDX-License-Identifier: Apache-2.0
"""WebSockets to endpoints that speak HTTP/2 without TLS: extended CONNECT (RFC 8441)."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from h2.errors import ErrorCodes
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as talk
from websockets.sync.server import ServerConnection, serve

from tests.integration.http2.client import client
from tests.integration.http2.server import Asked, Connection, Origin, fetch, origin, to_http2
from tests.integration.http2.test_tunnels import connect, seen
from tidegate.testing import RunningGateway, gateway, wait_until

TIMEOUT = 30.0
EXTENDED_CONNECT = 8
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""What RFC 6455 §1.3 has for it."""


def _echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


@contextmanager
def websockets() -> Iterator[int]:
    """A server of WebSockets that says what it hears; its port."""
    with serve(_echo, "127.0.0.1", 0, max_size=None, subprotocols=["chat"]) as server:  # type: ignore[list-item]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.socket.getsockname()[1]
        finally:
            server.shutdown()
            thread.join()


def speak(url: str) -> ClientConnection:
    """A client of its own."""
    return talk(url, subprotocols=["chat"], max_size=None)  # type: ignore[list-item]


def inner(port: int, **listener: Any) -> str:
    """A gateway that takes HTTP/2 without TLS."""
    route = {"path": "/", "to": f"http://127.0.0.1:{port}"}
    return json.dumps(
        {"gateway": {"threads": 1}, "listeners": {"web": {"port": 61_080, "http2": True, **listener}}}
        | {"routes": [route]}
    )


def _accepts(connection: Connection, asked: Asked) -> None:
    if asked.get(":protocol") is None:
        return connection.answer(asked, body=b"ok\n")
    return connection.head(asked, 200, [("sec-websocket-protocol", "chat")])


@contextmanager
def tunnels(**more: Any) -> Iterator[tuple[Origin, RunningGateway]]:
    """An endpoint that takes extended CONNECT, its side of the tunnel the test's, behind a gateway."""
    settings = {EXTENDED_CONNECT: 1}
    with (
        origin(whole=None, begun=_accepts, settings=settings) as upstream,
        gateway(to_http2(upstream.port, **more)) as running,
    ):
        yield upstream, running


def ask(running: RunningGateway, key: str = KEY) -> tuple[socket.socket, bytes]:
    """Asks for a WebSocket over HTTP/1.1; the connection, and the head that came."""
    connected = socket.create_connection(("127.0.0.1", running.port), TIMEOUT)
    fields = ["Host: shop.example", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    fields += ["Origin: http://shop.example", *([f"Sec-WebSocket-Key: {key}"] if key else [])]
    connected.sendall("\r\n".join(["GET /chat?a=b HTTP/1.1", *fields, "", ""]).encode())
    came = b""
    while b"\r\n\r\n" not in came and (more := connected.recv(65_536)):
        came += more
    return connected, came


@pytest.mark.parametrize("announced", [False, True])
def test_websockets_go_through_two_gateways_on_streams(announced: bool) -> None:
    proxied = {"proxy_protocol": {"sources": ["127.0.0.0/8"]}} if announced else {}
    told: dict[str, Any] = {"proxy_protocol": "v2"} if announced else {}
    with (
        websockets() as port,
        gateway(inner(port, **proxied)) as behind,
        gateway(to_http2(behind.port, **told)) as running,
    ):
        url = f"ws://127.0.0.1:{running.port}/"
        with speak(url) as first, speak(url) as second:
            assert first.subprotocol == "chat"
            for message in ("hello", b"x" * 300_000, ""):
                first.send(message)
                second.send("beside")
                assert first.recv(TIMEOUT) == message
                assert second.recv(TIMEOUT) == "beside"
        assert first.close_code == 1000
        entries = running.log(2)
        assert {(entry["status"], entry["endpoint_protocol"]) for entry in entries} == {(101, "HTTP/2")}
        assert {entry["protocol"] for entry in behind.log(2)} == {"HTTP/2"}


def test_the_endpoint_is_asked_and_the_client_told_in_their_own_words() -> None:
    with tunnels() as (upstream, running):
        connected, head = ask(running)
        with connected:
            assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
            fields = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:-2])
            assert fields["sec-websocket-accept"] == ACCEPT.lower()
            assert (fields["connection"], fields["upgrade"]) == ("upgrade", "websocket")
            assert fields["sec-websocket-protocol"] == "chat"
            [asked] = upstream.asked
            assert asked.headers[:5] == [
                (":method", "CONNECT"),
                (":authority", "shop.example"),
                (":scheme", "http"),
                (":path", "/chat?a=b"),
                (":protocol", "websocket"),
            ]
            assert asked.get("origin") == "http://shop.example"
            assert asked.get("sec-websocket-version") == "13"
            names = {name for name, _ in asked.headers}
            assert not names & {"sec-websocket-key", "connection", "upgrade", "content-length"}
            connected.sendall(b"\x81\x80\0\0\0\0")
            wait_until(lambda: bytes(asked.body) == b"\x81\x80\0\0\0\0", TIMEOUT)
            upstream.connections[0].data(asked, b"\x81\x02hi")
            assert connected.recv(100) == b"\x81\x02hi"
            # Requests go on beside it, on the same connection.
            assert fetch(running) == (200, b"ok\n")
            assert not asked.ended
            # The end of one side is that of the other, and no more.
            connected.shutdown(socket.SHUT_WR)
            wait_until(lambda: asked.ended, TIMEOUT)
            upstream.connections[0].data(asked, b"\x88\x00", ends=True)
            assert connected.recv(100) == b"\x88\x00"
            assert connected.recv(100) == b""
        assert len(upstream.connections) == 1


def test_streams_of_both_sides_carry_it() -> None:
    with tunnels() as (upstream, running), client(running) as connected:
        connected.ask("/")
        stream = connect(connected)
        answer = connected.answers[stream]
        while not answer.status:
            assert connected.step()
        assert (answer.status, answer.get("sec-websocket-protocol")) == (200, "chat")
        assert answer.get("sec-websocket-accept") is None
        asked = next(asked for asked in upstream.asked if asked.get(":protocol"))
        upstream.connections[0].data(asked, b"\x81\x02hi")
        seen(connected, stream, b"\x81\x02hi")
        connected.machine.reset_stream(stream, ErrorCodes.CANCEL)
        connected.flush()
        wait_until(lambda: asked.reset == ErrorCodes.CANCEL, TIMEOUT)
        again = connect(connected)
        while not connected.answers[again].status:
            assert connected.step()
        last = upstream.asked[-1]
        with upstream.connections[0].lock:
            upstream.connections[0].machine.reset_stream(last.stream, ErrorCodes.INTERNAL_ERROR)
        upstream.connections[0].flush()
        assert connected.wait(again)[0].reset == ErrorCodes.CONNECT_ERROR


def test_an_endpoint_that_takes_none_is_told_from_one_that_refuses() -> None:
    with origin() as upstream, gateway(to_http2(upstream.port)) as running:
        for _ in range(2):
            connected, head = ask(running)
            connected.close()
            assert head.startswith(b"HTTP/1.1 502 ")
        [first, _] = running.log(2)
        assert "ENABLE_CONNECT_PROTOCOL" in first["detail"]
        assert fetch(running) == (200, b"ok\n")
        assert [asked.get(":method") for asked in upstream.asked] == ["GET"]

    def refuses(connection: Connection, asked: Asked) -> None:
        connection.answer(asked, 403, body=b"no\n")

    with (
        origin(whole=None, begun=refuses, settings={EXTENDED_CONNECT: 1}) as upstream,
        gateway(to_http2(upstream.port)) as running,
    ):
        with pytest.raises(InvalidStatus) as told:
            talk(f"ws://127.0.0.1:{running.port}/")
        assert told.value.response.status_code == 403
        assert told.value.response.body == b"no\n"


def test_who_has_no_key_gets_no_websocket() -> None:
    with tunnels() as (upstream, running):
        connected, head = ask(running, key="")
        connected.close()
        assert head.startswith(b"HTTP/1.1 400 ")
        [asked] = upstream.asked
        wait_until(lambda: asked.reset is not None, TIMEOUT)
