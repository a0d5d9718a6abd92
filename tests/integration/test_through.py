# SPDX-License-Identifier: Apache-2.0
"""What passes a gateway: bodies at the pace of whoever is slower, trace fields, and a log line of it all."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from tidegate.testing import RunningGateway, Wire, endpoint, gateway, wait_until

TIMEOUT = 60.0
BODY = 160 << 20
HELD = 64 << 20
"""More than the kernel's buffers and ours hold of a body on its way; far less than the body."""
PIECE = bytes(1 << 16)


class Origin:
    """An origin server for one exchange, which counts what it has sent or read.

    Attributes:
        count: Bytes of body so far.
    """

    def __init__(self, *, sends: bool) -> None:
        self.count = 0
        self.go_on = threading.Event()
        self._sends = sends
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            connected, _ = self._listener.accept()
            with connected:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += connected.recv(4096)
                if self._sends:
                    connected.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % BODY)
                    while self.count < BODY:
                        self.count += connected.send(PIECE[: BODY - self.count])
                else:
                    self.go_on.wait(TIMEOUT)
                    self.count = len(head.partition(b"\r\n\r\n")[2])
                    while self.count < BODY:
                        self.count += len(connected.recv(1 << 20))
                    connected.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                # Until the other side closes.
                connected.recv(1)

    def close(self) -> None:
        """Ends it, whatever it waits for."""
        self.go_on.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(TIMEOUT)


@contextlib.contextmanager
def through(origin: Origin) -> Iterator[RunningGateway]:
    """A gateway before one origin server, with room for the whole body."""
    text = (
        f"listeners: {{ web: {{ port: 0, limits: {{ body_size: {BODY}B }} }} }}\n"
        f'routes: [{{ path: /, to: "http://{origin.address}" }}]\n'
    )
    try:
        with gateway(text, threads=1) as running:
            yield running
    finally:
        origin.close()


def wait_still(origin: Origin, connected: socket.socket | None = None) -> int:
    """Waits until nothing moves any more, sending on `connected` if given; returns how far it came."""
    moved, pause, still = origin.count, threading.Event(), 0
    sent = 0
    while still < 50 and max(sent, moved) < BODY:
        before = (sent, moved)
        if connected is not None:
            with contextlib.suppress(BlockingIOError):
                sent += connected.send(PIECE[: BODY - sent])
                continue
        pause.wait(0.02)
        moved = origin.count
        still = still + 1 if before == (sent, moved) else 0
    return max(sent, moved)


def test_a_response_is_taken_no_faster_than_its_client_reads() -> None:
    origin = Origin(sends=True)
    with through(origin) as running, socket.create_connection(("127.0.0.1", running.port)) as connected:
        connected.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert wait_until(lambda: origin.count > 0, TIMEOUT)
        assert wait_still(origin) < HELD
        connected.settimeout(TIMEOUT)
        received = 0
        while piece := connected.recv(1 << 20):
            received += len(piece)
        assert origin.count == BODY and received > BODY


def test_an_upload_is_taken_no_faster_than_its_endpoint_reads() -> None:
    origin = Origin(sends=False)
    with through(origin) as running, socket.create_connection(("127.0.0.1", running.port)) as connected:
        connected.sendall(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % BODY)
        connected.setblocking(False)
        sent = wait_still(origin, connected)
        assert sent < HELD
        origin.go_on.set()
        connected.settimeout(TIMEOUT)
        while sent < BODY:
            sent += connected.send(PIECE[: BODY - sent])
        assert connected.recv(64).startswith(b"HTTP/1.1 200")
        assert origin.count == BODY


def test_ipv6_is_spoken_on_both_sides() -> None:
    inner = '{ address: "::1", port: 0 }'
    with gateway(
        f"listeners: {{ web: {inner} }}\nroutes: [{{ path: /, to: {{ respond: inner }} }}]", threads=1
    ) as behind:
        text = f"listeners: {{ web: {inner} }}\nroutes: [{{ path: /, to: 'http://[::1]:{behind.port}' }}]"
        with gateway(text, threads=1) as running, Wire(("::1", running.port)) as wire:
            wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET")
            assert wire.wait_final(1)
            assert (wire.final_responses[0].status, wire.final_responses[0].body) == (200, b"inner")


def test_the_trace_goes_on_to_the_endpoint_as_it_came() -> None:
    parent, state = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=1,b=2"
    with endpoint() as upstream:
        text = f'listeners: {{ web: {{ port: 0 }} }}\nroutes: [{{ path: /, to: "{upstream.url}" }}]'
        with gateway(text, threads=1) as running, Wire(("127.0.0.1", running.port)) as wire:
            head = f"GET / HTTP/1.1\r\nHost: a\r\ntraceparent: {parent}\r\ntracestate: {state}\r\n\r\n"
            wire.send(head.encode(), "GET")
            assert wire.wait_final(1)
        assert upstream.messages[0].get("traceparent") == parent
        assert upstream.messages[0].get("tracestate") == state


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_log_line_tells_route_endpoint_retries_and_timings(method: str) -> None:
    with endpoint(raw=b"", cut_at=0) as broken, endpoint(delay=0.05) as good:
        text = f"""
gateway: {{ access_log: {{ path: x }} }}
listeners: {{ web: {{ port: 0 }} }}
backends: {{ b: {{ endpoints: ["{broken.address}", "{good.address}"], balancing: round_robin }} }}
routes: [{{ name: pay, path: /, to: b }}]
"""
        with gateway(text, threads=1) as running:
            for _ in range(2):
                with Wire(("127.0.0.1", running.port)) as wire:
                    head = f"{method} /p?a=1 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc"
                    wire.send(head.encode(), method)
                    assert wire.wait_final(1)
            lines = running.log(2)
        seen = [good.messages[-1].get("x-request-id")]
        served = [line for line in lines if line["status"] == 200]
        assert served and served[-1]["request_id"] in seen
        for line in served:
            assert (line["route"], line["backend"], line["endpoint"]) == ("pay", "b", good.address)
            assert 50 <= line["first_byte_ms"] <= line["duration_ms"]
            assert (line["method"], line["path"], line["query"], line["host"]) == (
                method,
                "/p",
                "a=1",
                "a.test",
            )
            assert line["bytes_in"] == 3 and line["bytes_out"] == 3
        # A GET that was cut is sent again, elsewhere; a POST is not, and ends as a 502.
        retries, statuses = [[line[name] for line in lines] for name in ("retries", "status")]
        if method == "GET":
            assert 1 in retries and set(retries) <= {0, 1} and statuses == [200, 200]
        else:
            assert retries == [0, 0] and sorted(statuses) == [200, 502]
