# SPDX-License-Identifier: Apache-2.0
"""WebSockets on streams of HTTP/3 (RFC 9220), to endpoints that know them from HTTP/1.1."""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests.integration.http2.test_tunnels import SWITCHED, accept, origin
from tests.integration.http3.client import Client, client
from tests.integration.tls import client as tls
from tests.integration.tls.authority import Authority
from tidegate.testing import Reply, endpoint, gateway

Web = Callable[..., dict[str, Any]]
CONNECT_ERROR = 0x10F


def connect(
    connected: Client,
    path: str = "/chat",
    protocol: str = "websocket",
    host: str = "localhost",
    origins: Iterable[str] = ("https://localhost",),
) -> int:
    """Asks for a tunnel; returns its stream."""
    return connected.send(
        path,
        method="CONNECT",
        pseudo=[(":protocol", protocol)],
        headers=[
            ("sec-websocket-version", "13"),
            ("sec-websocket-protocol", "chat, other"),
            *(("origin", origin) for origin in origins),
        ],
        ends=False,
        host=host,
    )


def begun(connected: Client, stream: int) -> None:
    """Waits for the answer's head."""
    while not connected.answers[stream].status:
        assert connected.step(), connected.terminated


def seen(connected: Client, stream: int, content: bytes) -> None:
    """Waits for content, and takes it."""
    answer = connected.answers[stream]
    while not answer.body.endswith(content):
        assert connected.step(), answer
    answer.body.clear()


def test_a_tunnel_carries_bytes_both_ways_beside_requests(authority: Authority, web: Web) -> None:
    with origin() as (url, listening), endpoint(Reply(body=b"plain")) as upstream:
        text = tls.configuration(web(), {"path": "/chat", "to": url}, {"path": "/", "to": upstream.url})
        with gateway(text) as running, client(running, authority) as connected:
            stream = connect(connected)
            inner, head = accept(listening)
            with inner:
                assert head.startswith("GET /chat HTTP/1.1\r\n")
                lower = head.lower()
                assert "upgrade: websocket\r\n" in lower
                assert "connection: upgrade\r\n" in lower
                [key] = [line for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key:")]
                assert len(base64.b64decode(key.split(": ")[1])) == 16
                begun(connected, stream)
                answer = connected.answers[stream]
                assert (answer.status, answer.get("sec-websocket-protocol")) == (200, "chat")
                assert answer.get("sec-websocket-accept") is None
                for piece in (b"hello", b"x" * 100_000, b"end"):
                    connected.upload(stream, piece, ends=False)
                    taken = b""
                    while len(taken) < len(piece):
                        inner.settimeout(0.05)
                        try:
                            taken += inner.recv(1 << 20)
                        except TimeoutError:
                            connected.step(0.05)
                    assert taken == piece
                    inner.settimeout(tls.TIMEOUT)
                    inner.sendall(piece)
                    seen(connected, stream, piece)
                assert connected.ask("/").body == b"plain"
                connected.upload(stream, b"", ends=True)
                while inner.recv(100):
                    pass
                inner.shutdown(socket.SHUT_WR)
                assert connected.wait(stream)[0].ended


def test_an_endpoint_that_breaks_its_side_resets_the_stream(authority: Authority, web: Web) -> None:
    with origin() as (url, listening):
        text = tls.configuration(web(), {"path": "/chat", "to": url}, tls.HERE)
        with gateway(text) as running, client(running, authority) as connected:
            stream = connect(connected)
            inner, _ = accept(listening)
            begun(connected, stream)
            inner.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            inner.close()
            assert connected.wait(stream)[0].reset == CONNECT_ERROR
            assert connected.ask("/").status == 200


def test_an_endpoint_that_does_not_switch_is_told_as_it_is(authority: Authority, web: Web) -> None:
    with endpoint([Reply(403, body=b"no"), Reply(200, body=b"yes")]) as upstream:
        text = tls.configuration(web(), {"path": "/chat", "to": upstream.url})
        with gateway(text) as running, client(running, authority) as connected:
            first = connect(connected)
            assert connected.wait(first)[0].status == 403
            # A 200 would say that it had switched.
            assert connected.wait(connect(connected))[0].status == 502


@pytest.mark.parametrize("ends", ["client", "connection"])
def test_a_client_that_leaves_ends_the_endpoints_side(authority: Authority, web: Web, ends: str) -> None:
    with origin() as (url, listening):
        text = tls.configuration(web(), {"path": "/chat", "to": url})
        with gateway(text) as running, client(running, authority) as connected:
            stream = connect(connected)
            inner, _ = accept(listening, SWITCHED)
            with inner:
                begun(connected, stream)
                if ends == "client":
                    connected.quic.reset_stream(stream, 0x10C)
                    connected.quic.stop_stream(stream, 0x10C)
                    connected.flush()
                else:
                    connected.close()
                try:
                    while inner.recv(100):
                        pass
                except ConnectionError:
                    pass
                if ends == "connection":
                    connected.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def test_it_is_offered_by_a_setting(authority: Authority, web: Web) -> None:
    with gateway(tls.configuration(web())) as running, client(running, authority) as connected:
        assert connected.http is not None
        while connected.http.received_settings is None:
            assert connected.step()
        assert connected.http.received_settings[8] == 1
        assert connected.http.received_settings[6] == 32 << 10
        assert connected.http.received_settings.get(1, 0) == 0, "no dynamic table"
