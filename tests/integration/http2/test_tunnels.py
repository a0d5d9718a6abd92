# SPDX-License-Identifier: Apache-2.0
"""WebSockets on streams of HTTP/2 (RFC 8441), to endpoints that know them from HTTP/1.1."""

from __future__ import annotations

import base64
import fcntl
import socket
import struct
import termios
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest
from h2.errors import ErrorCodes

from tests.integration.http2.client import Answer, Client, client, configuration
from tidegate.testing import Reply, endpoint, gateway

TIMEOUT = 30.0
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: anything\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
)
EXTENDED_CONNECT = 8
INITIAL_WINDOW_SIZE = 4


def connect(
    connected: Client,
    path: str = "/chat",
    protocol: str = "websocket",
    host: str = "localhost",
    origins: Iterable[str] = ("http://localhost",),
) -> int:
    """Asks for a tunnel; returns its stream."""
    stream = connected.machine.get_next_available_stream_id()
    head = [
        (":method", "CONNECT"),
        (":protocol", protocol),
        (":scheme", "http"),
        (":authority", host),
        (":path", path),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "chat, other"),
        *(("origin", origin) for origin in origins),
    ]
    connected.machine.send_headers(stream, head)
    connected.answers[stream] = Answer()
    connected.flush()
    return stream


def seen(connected: Client, stream: int, content: bytes) -> None:
    """Waits for content, and takes it."""
    answer = connected.answers[stream]
    while not answer.body.endswith(content):
        assert connected.step(), answer
    answer.body.clear()


@contextmanager
def origin() -> Iterator[tuple[str, socket.socket]]:
    """An origin server whose side of the tunnel the test plays: its URL, and where it listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(TIMEOUT)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", listening


def accept(listening: socket.socket, answer: bytes = SWITCHED) -> tuple[socket.socket, str]:
    """The next connection, and the head that came on it, answered."""
    inner = listening.accept()[0]
    inner.settimeout(TIMEOUT)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += inner.recv(65_536)
    inner.sendall(answer)
    return inner, head.decode()


def test_a_tunnel_carries_bytes_both_ways_beside_requests() -> None:
    with origin() as (url, listening), endpoint(Reply(body=b"plain")) as upstream:
        text = configuration({"path": "/chat", "to": url}, {"path": "/", "to": upstream.url})
        with gateway(text) as running, client(running) as connected:
            connected.ask("/")
            assert connected.machine.remote_settings[EXTENDED_CONNECT] == 1
            stream = connect(connected)
            inner, head = accept(listening)
            with inner:
                line, *fields = head.split("\r\n")
                names = dict(field.lower().split(": ", 1) for field in fields if field)
                assert line == "GET /chat HTTP/1.1"
                assert (names["connection"], names["upgrade"]) == ("upgrade", "websocket")
                assert names["origin"] == "http://localhost"
                assert names["sec-websocket-version"] == "13"
                assert len(base64.b64decode(names["sec-websocket-key"])) == 16
                answer = connected.answers[stream]
                while not answer.status:
                    assert connected.step()
                assert (answer.status, answer.get("sec-websocket-protocol")) == (200, "chat")
                told = {name for name, _ in answer.headers}
                assert not told & {"sec-websocket-accept", "upgrade", "connection", "content-length"}
                for content in (b"a", b"b" * 100_000):
                    connected.upload(stream, content, ends=False)
                    came = b""
                    while len(came) < len(content):
                        came += inner.recv(65_536)
                    assert came == content
                    inner.sendall(content)
                    seen(connected, stream, content)
                    assert connected.ask("/").body == b"plain"
                connected.machine.end_stream(stream)
                connected.flush()
                assert inner.recv(1) == b""
                inner.sendall(b"last words")
                inner.shutdown(socket.SHUT_WR)
                seen(connected, stream, b"last words")
                assert connected.wait(stream)[0].ended
            tunnel = next(entry for entry in running.log(4) if entry["path"] == "/chat")
            assert (tunnel["status"], tunnel["bytes_in"]) == (200, 100_001)


def test_a_reset_of_either_side_ends_the_other() -> None:
    with origin() as (url, listening):
        text = configuration({"path": "/", "to": url})
        with gateway(text) as running, client(running) as connected:
            stream = connect(connected)
            inner, _ = accept(listening)
            with inner:
                inner.sendall(b"hello")
                seen(connected, stream, b"hello")
                connected.machine.reset_stream(stream, ErrorCodes.CANCEL)
                connected.flush()
                with pytest.raises(ConnectionResetError):
                    assert inner.recv(1) == b""
                    raise ConnectionResetError
            stream = connect(connected)
            inner, _ = accept(listening)
            inner.sendall(b"hello")
            seen(connected, stream, b"hello")
            inner.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            inner.close()
            assert connected.wait(stream)[0].reset == ErrorCodes.CONNECT_ERROR


def test_an_endpoint_that_does_not_switch_is_no_tunnel() -> None:
    with endpoint([Reply(403, body=b"no"), Reply(200, body=b"a page")]) as upstream:
        text = configuration(
            {"path": "/", "to": upstream.url}, {"path": "/here", "to": {"respond": {"body": "x"}}}
        )
        with gateway(text) as running, client(running) as connected:
            refused = connected.wait(connect(connected))[0]
            assert (refused.status, bytes(refused.body)) == (403, b"no")
            assert connected.wait(connect(connected))[0].status == 502
            assert connected.wait(connect(connected, "/here"))[0].status == 502
            assert [entry["error"] for entry in running.log(3)[1:]] == ["http_upgrade_failed"] * 2


def test_an_idle_tunnel_is_ended() -> None:
    with origin() as (url, listening):
        route = {"path": "/", "to": url, "timeouts": {"upgraded_idle": "1s"}}
        with gateway(configuration(route)) as running, client(running) as connected:
            stream = connect(connected)
            inner, _ = accept(listening)
            with inner:
                answer = connected.wait(stream)[0]
                # Both sides are told why: 1001, to the endpoint under a mask.
                assert answer.is_over and answer.body == b"\x88\x02\x03\xe9"
                told = inner.recv(100, socket.MSG_WAITALL)
                assert len(told) == 8 and told[:2] == b"\x88\x82"


def test_many_tunnels_share_a_connection() -> None:
    with origin() as (url, listening):

        def echo(inner: socket.socket) -> None:
            with inner:
                while data := inner.recv(65_536):
                    inner.sendall(data)

        def serve() -> None:
            for _ in range(20):
                inner, _ = accept(listening)
                threading.Thread(target=echo, args=(inner,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        with gateway(configuration({"path": "/", "to": url})) as running, client(running) as connected:
            streams = [connect(connected) for _ in range(20)]
            for number, stream in enumerate(streams):
                content = f"to {number};".encode() * 1000
                connected.upload(stream, content, ends=True)
            for number, answer in enumerate(connected.wait(*streams)):
                assert bytes(answer.body) == f"to {number};".encode() * 1000


def waiting(connected: Client) -> int:
    """Bytes that have come and nobody has read, once no more come."""
    before, count = -2, -1
    while count != before:
        before = count
        time.sleep(0.3)
        (count,) = struct.unpack("i", fcntl.ioctl(connected.socket, termios.FIONREAD, b"\0" * 4))
    return before


def test_an_end_is_told_also_when_there_was_no_room_for_it() -> None:
    body = b"a" * (30 << 20)
    with origin() as (url, listening), endpoint(Reply(body=body)) as upstream:
        text = configuration({"path": "/chat", "to": url}, {"path": "/", "to": upstream.url})
        with gateway(text) as running, client(running) as connected:
            connected.machine.update_settings({INITIAL_WINDOW_SIZE: 2**26})
            connected.machine.increment_flow_control_window(2**26)
            connected.flush()
            stream = connect(connected)
            inner, _ = accept(listening)
            with inner:
                while not connected.answers[stream].status:
                    assert connected.step()
                large = connected.send("/large")
                # All that can be on its way is; what is behind has no room.
                assert 0 < waiting(connected) < len(body)
                inner.shutdown(socket.SHUT_WR)
                time.sleep(0.3)
                answers = connected.answers
                while not (answers[stream].ended and answers[large].ended):
                    assert connected.step()
                connected.upload(stream, b"the other way goes on")
                assert inner.recv(100) == b"the other way goes on"
