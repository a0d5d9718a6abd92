# SPDX-License-Identifier: Apache-2.0
"""Bodies that are moved in large pieces: right to the last byte, and no longer than their senders pause."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Iterator

import pytest

from tidegate.testing import Reply, Wire, endpoint, gateway, wait_until

TIMEOUT = 60.0
LONG = 3_000_017
"""Neither a multiple of a buffer nor of a piece below."""


def pattern(size: int) -> bytes:
    """Bytes in which a piece that is lost, doubled or moved shows: 251 is prime."""
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def config(address: str, *, backend: str = "") -> str:
    return (
        "listeners: { web: { port: 0, limits: { body_size: 200MiB } } }\n"
        f'backends: {{ b: {{ endpoints: ["{address}"] {backend} }} }}\n'
        "routes: [{ path: /, to: b }]\n"
    )


@pytest.mark.parametrize("piece", [1_000, 65_536, 400_000])
def test_a_long_body_is_right_and_what_follows_it_is_another_request(piece: int) -> None:
    body = pattern(LONG)
    with (
        endpoint(respond=Reply(body=body)) as origin,
        gateway(config(origin.address), threads=1) as running,
        Wire(("127.0.0.1", running.port), timeout=TIMEOUT) as wire,
    ):
        head = b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
        sent = b"".join(head % (number, LONG) + body for number in range(2))
        sent += b"GET /last HTTP/1.1\r\nHost: a\r\n\r\n"
        # The second request begins in the same piece that the first one's body ends in.
        for begin in range(0, len(sent), piece):
            wire.send(sent[begin : begin + piece], *(["POST", "POST", "GET"] if begin == 0 else []))
        assert wire.wait_final(3)
        assert [each.status for each in wire.final_responses] == [200, 200, 200]
        assert all(each.body == body for each in wire.final_responses)
        assert [each.target for each in origin.messages] == ["/0", "/1", "/last"]
        assert [each.body for each in origin.messages] == [body, body, b""]


@contextlib.contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(TIMEOUT)
        yield server


def read_exactly(connected: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count and (part := connected.recv(count - len(got))):
        got += part
    return got


def read_head(connected: socket.socket) -> bytes:
    got = b""
    while not got.endswith(b"\r\n\r\n"):
        got += connected.recv(1)
    return got


@pytest.mark.parametrize("count", [65_536, 65_537, 131_072, 200_000])
def test_a_sender_that_pauses_keeps_nothing_back(count: int) -> None:
    """Each side goes on only when the other has everything that was sent so far."""
    body = pattern(count * 3)
    with (
        listening() as server,
        gateway(config("{}:{}".format(*server.getsockname())), threads=1) as running,
        socket.create_connection(("127.0.0.1", running.port), TIMEOUT) as client,
    ):
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body))
        origin, _ = server.accept()
        with origin:
            origin.settimeout(TIMEOUT)
            read_head(origin)
            for begin in range(0, len(body), count):
                client.sendall(body[begin : begin + count])
                assert read_exactly(origin, count) == body[begin : begin + count]
            origin.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
            read_head(client)
            for begin in range(0, len(body), count):
                origin.sendall(body[begin : begin + count])
                assert read_exactly(client, count) == body[begin : begin + count]


def test_an_endpoint_that_stops_reading_a_body_is_a_504() -> None:
    """The endpoint's stall, not the client's: the client has sent all that it could."""
    with listening() as server:
        address = "{}:{}".format(*server.getsockname())
        stall = ", timeouts: { stall: 500ms }"
        with gateway(config(address, backend=stall), threads=1) as running:
            ended = threading.Event()

            def serve() -> None:
                origin, _ = server.accept()
                with origin:
                    read_head(origin)
                    ended.wait(TIMEOUT)

            thread = threading.Thread(target=serve)
            thread.start()
            try:
                with socket.create_connection(("127.0.0.1", running.port), TIMEOUT) as client:
                    client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (150 << 20))
                    client.setblocking(False)
                    answer = b""

                    def is_answered() -> bool:
                        nonlocal answer
                        with contextlib.suppress(BlockingIOError, ConnectionError):
                            for _ in range(100):
                                client.send(bytes(1 << 16))
                        if select.select([client], [], [], 0)[0]:
                            with contextlib.suppress(BlockingIOError, ConnectionError):
                                answer += client.recv(4096)
                        return b"\r\n" in answer

                    assert wait_until(is_answered, TIMEOUT)
                assert answer.startswith(b"HTTP/1.1 504 ")
                assert running.log(1)[0]["error"] == "connection_write_timeout"
            finally:
                ended.set()
                thread.join(TIMEOUT)
