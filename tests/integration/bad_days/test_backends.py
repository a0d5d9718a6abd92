# SPDX-License-Identifier: Apache-2.0
"""Endpoints that fail in every way: what the client sees, and what the endpoint was sent."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from tidegate.testing import FakeEndpoint, Reply, RunningGateway, Wire, endpoint, gateway

GONE = "127.0.0.1:1"
"""Nobody listens there: the port is reserved."""
WAITS = "{connect: 300ms, first_byte: 500ms, stall: 500ms}"


def before(*endpoints: str, more: str = "", beside: str = "") -> str:
    """A gateway whose one backend has these endpoints, in turn."""
    return f"""
listeners: {{web: {{port: 0}}}}
backends:
  origin:
    endpoints: [{", ".join(f'"{each}"' for each in endpoints)}]
    balancing: round_robin
    timeouts: {WAITS}
    {more}
routes: [{{path: /, to: origin}}, {beside}]
"""


def ask(running: RunningGateway, method: str = "GET", path: str = "/", body: bytes = b"") -> Wire:
    """One request on a connection of its own, answered, or cut."""
    wire = Wire(("127.0.0.1", running.port), timeout=20)
    framing = f"content-length: {len(body)}\r\n" if body or method == "POST" else ""
    head = f"{method} {path} HTTP/1.1\r\nhost: a\r\n{framing}connection: close\r\n\r\n"
    with wire:
        wire.send(head.encode() + body, method)
        wire.wait_closed()
    return wire


def status(wire: Wire) -> int:
    assert wire.final_responses, (wire.closed, bytes(wire.received))
    return wire.final_responses[-1].status


def excluded(running: RunningGateway) -> list[str]:
    [backend] = running.status()["backends"]
    return [each["address"] for each in backend["endpoints"] if each["health"] == "excluded"]


@pytest.fixture
def full() -> Iterator[str]:
    """An address whose backlog is full: the kernel drops every further SYN, as a blackhole does."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    waiting = []
    for _ in range(8):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(listener.getsockname())
        waiting.append(client)
    yield "{}:{}".format(*listener.getsockname())
    for each in (*waiting, listener):
        each.close()


# Connecting


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refused_connection_costs_nothing_and_another_endpoint_gets_the_request(method: str):
    with endpoint() as good, gateway(before(GONE, good.address)) as running:
        for _ in range(20):
            assert status(ask(running, method, body=b"x" * (method == "POST"))) == 200
        assert len(good.messages) == 20
        assert excluded(running) == [GONE]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_all_refused_is_a_502(method: str):
    with gateway(before(GONE, "127.0.0.1:2")) as running:
        assert status(ask(running, method)) == 502
        assert running.log(1)[0]["error"] == "connection_refused"


def test_a_blackhole_is_a_504_within_the_connect_timeout(full: str):
    with gateway(before(full)) as running:
        assert status(ask(running)) == 504
        entry = running.log(1)[0]
        assert entry["error"] == "connection_timeout"
        # Given up by our timer, and before the 3 s of a backend that says nothing.
        assert 300 <= entry["duration_ms"] < 3000, entry


def test_behind_a_blackhole_the_other_endpoint_answers(full: str):
    with endpoint() as good, gateway(before(full, good.address)) as running:
        for _ in range(10):
            assert status(ask(running, "POST", body=b"x")) == 200
        assert len(good.messages) == 10


def test_a_blackhole_is_excluded_and_costs_time_no_more(full: str):
    more = "passive_health: {failures: 2, exclude_for: 1h}"
    with endpoint() as good, gateway(before(full, good.address, more=more)) as running:
        count = 0
        while not excluded(running):
            assert status(ask(running)) == 200
            count += 1
        for _ in range(10):
            assert status(ask(running, path="/after")) == 200
        entries = [entry for entry in running.log(count + 10) if entry["path"] == "/after"]
        assert [entry["retries"] for entry in entries] == [0] * 10


# Before the response is whole

HALF_A_HEAD = b"HTTP/1.1 200 OK\r\ncontent-le"


@pytest.mark.parametrize("reset", [True, False])
def test_a_cut_head_is_repeated_elsewhere_for_get_alone(reset: bool):
    with (
        endpoint(raw=HALF_A_HEAD, reset=reset) as bad,
        endpoint() as good,
        gateway(before(bad.address, good.address, more="passive_health: {enabled: false}")) as running,
    ):
        for number in range(6):
            assert status(ask(running, "GET", f"/get/{number}")) == 200
        posts = Counter(status(ask(running, "POST", f"/post/{number}", b"x")) for number in range(10))
        assert posts == {200: 5, 502: 5}
        seen = Counter(message.target for message in (*bad.messages, *good.messages))
        assert all(seen[f"/post/{number}"] == 1 for number in range(10)), seen
        assert all(seen[f"/get/{number}"] <= 2 for number in range(6)), seen


def test_one_endpoint_is_never_asked_twice():
    with endpoint(raw=HALF_A_HEAD, reset=True) as bad, gateway(before(bad.address)) as running:
        assert status(ask(running)) == 502
        assert len(bad.messages) == 1


BODIES = {
    "length": b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n" + b"x" * 50,
    "chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n32\r\n" + b"x" * 50 + b"\r\n",
    "chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n40\r\n" + b"x" * 50,
    "no last": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n",
}


@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize("kind", BODIES)
def test_a_cut_body_never_looks_whole(kind: str, reset: bool):
    with endpoint(raw=BODIES[kind], reset=reset) as bad, gateway(before(bad.address)) as running:
        wire = ask(running)
        assert not wire.final_responses, bytes(wire.received)
        assert not wire.received.endswith(b"\r\n0\r\n\r\n")
        # Not FIN: a client that takes a close for the end of a body must see that it is not.
        assert wire.closed == "reset"
        entry = running.log(1)[0]
        assert (entry["status"], entry["error"]) == (200, "http_response_incomplete")
        assert len(bad.messages) == 1


GARBAGE = {
    "noise": bytes(range(256)) * 4,
    "another protocol": b"220 mail.example ESMTP\r\n",
    "HTTP/0.9": b"<html>hello</html>\r\n\r\n",
    "a request": b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
    "both framings": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "split": b"HTTP/1.1 200 OK\r\nx: a\rset-cookie: b\r\ncontent-length: 0\r\n\r\n",
    "endless head": b"HTTP/1.1 200 OK\r\nx: " + b"x" * 200_000,
    "endless fields": b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 5000,
    "endless interim": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000,
    "nothing": b"",
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_is_a_502(kind: str):
    with endpoint(raw=GARBAGE[kind]) as bad, gateway(before(bad.address)) as running:
        assert status(ask(running)) == 502
        assert len(bad.messages) == 1


def test_garbage_in_a_chunk_cuts_the_response():
    raw = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nnonsense\r\n"
    with endpoint(raw=raw) as bad, gateway(before(bad.address)) as running:
        wire = ask(running)
        assert wire.closed == "reset" and not wire.final_responses


# Too much, too early, too slow


def test_more_than_was_announced_is_nobodys_response():
    """What follows is neither passed on nor taken for the next response: the connection is not kept."""
    extra = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged"
    reply = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok" + extra
    with endpoint(respond=reply) as bad, gateway(before(bad.address)) as running:
        with Wire(("127.0.0.1", running.port), timeout=20) as wire:
            for number in range(1, 6):
                wire.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", "GET")
                assert wire.wait_final(number)
            assert [response.body for response in wire.final_responses] == [b"ok"] * 5
        assert len(bad.connections) == 5


def test_surplus_that_comes_late_is_nobodys_response():
    """As above, but it arrives while the connection is idle."""
    sent = threading.Event()
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connected, _ = server.accept()
                threading.Thread(target=one, args=[connected], daemon=True).start()

    def one(connected: socket.socket) -> None:
        with connected, contextlib.suppress(OSError):
            while connected.recv(65536):
                connected.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                first.wait(20)
                first.clear()
                connected.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged")
                sent.set()

    first = threading.Event()
    threading.Thread(target=serve, daemon=True).start()
    with server, gateway(before("{}:{}".format(*server.getsockname()))) as running:
        with Wire(("127.0.0.1", running.port), timeout=20) as wire:
            for number in range(1, 6):
                wire.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", "GET")
                assert wire.wait_final(number)
                first.set()
                assert sent.wait(20)
                sent.clear()
            assert [response.body for response in wire.final_responses] == [b"ok"] * 5
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("keep", [True, False])
def test_an_early_answer_reaches_a_client_that_still_sends(keep: bool):
    """RFC 9112 §9.5: a server may answer before it has read the body."""
    refusal = Reply(403, body=b"not you")
    with endpoint(respond=refusal, early=True, keep=keep) as early, gateway(before(early.address)) as running:
        with Wire(("127.0.0.1", running.port), timeout=20) as wire:
            wire.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3000000\r\n\r\n" + b"x" * 1000, "POST")
            assert wire.wait_final(1)
            wire.send(b"x" * 2_999_000)
            assert wire.final_responses[0].body == b"not you"
            # Whatever follows on this connection cannot be told from the body.
            assert wire.wait_closed()
        assert status(ask(running)) == 403


def test_an_early_answer_while_the_body_is_under_way_is_one_response():
    with endpoint(early=True, keep=False, reset=True) as early, gateway(before(early.address)) as running:
        for _ in range(10):
            wire = ask(running, "POST", body=b"x" * 500_000)
            assert len(wire.final_responses) <= 1
            assert not wire.final_responses or wire.final_responses[0].status in (200, 502)
        assert status(ask(running)) == 200


def test_a_silent_endpoint_is_a_504_and_its_neighbours_go_on():
    with contextlib.ExitStack() as stack:
        silent, good = stack.enter_context(endpoint(fail="silent")), stack.enter_context(endpoint())
        beside = f"{{path: /good, to: '{good.url}'}}"
        with gateway(before(silent.address, beside=beside)) as running:
            with Wire(("127.0.0.1", running.port), timeout=20) as slow:
                slow.send(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n", "GET")
                silent.wait_for(1)
                for _ in range(20):
                    assert status(ask(running, path="/good")) == 200
                assert slow.wait_final(1)
                assert slow.final_responses[0].status == 504
            assert running.log(21)[-1]["error"] == "http_response_timeout"


def test_one_byte_at_a_time_is_slow_and_whole():
    with endpoint(respond=Reply(body=b"slowly"), trickle=1) as slow, gateway(before(slow.address)) as running:
        wire = ask(running)
        assert wire.final_responses[0].body == b"slowly"


def test_a_body_that_stops_is_cut():
    release = threading.Event()
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connected, _ = server.accept()
        with connected:
            connected.recv(65536)
            connected.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun")
            release.wait(20)

    thread = threading.Thread(target=serve)
    thread.start()
    with server, gateway(before("{}:{}".format(*server.getsockname()))) as running:
        wire = ask(running)
        release.set()
        thread.join()
        assert wire.closed == "reset" and wire.received.endswith(b"begun")
        assert running.log(1)[0]["error"] == "connection_read_timeout"


# Idle connections


def record(upstream: FakeEndpoint) -> Counter[str]:
    """How often each target arrived, whole or not: what the endpoint itself can swear to."""
    seen = Counter(message.target for message in upstream.messages)
    for connection in upstream.connections:
        if connection.unfinished:
            seen[connection.unfinished.split(b" ")[1].decode()] += 1
    return seen


ROUNDS = 60


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_idle_connection_closed_as_we_take_it(method: str):
    """The endpoint closes all it has at the very moment a request comes. GET is sent again; POST never."""
    with endpoint() as upstream, gateway(before(upstream.address), threads=1) as running:
        statuses: dict[str, int] = {}
        for number in range(ROUNDS):
            assert status(ask(running, path=f"/warm/{number}")) == 200  # leaves an idle connection
            barrier = threading.Barrier(2)

            def close(barrier: threading.Barrier = barrier) -> None:
                barrier.wait()
                upstream.drop_connections()

            closer = threading.Thread(target=close)
            closer.start()
            barrier.wait()
            statuses[f"/{method}/{number}"] = status(ask(running, method, f"/{method}/{number}"))
            closer.join()
        seen = record(upstream)
        assert set(statuses.values()) <= ({200} if method == "GET" else {200, 502}), Counter(
            statuses.values()
        )
        for target, got in statuses.items():
            if method == "POST":
                assert seen[target] <= 1, (target, got, seen[target])
            assert got != 200 or seen[target] >= 1


@pytest.mark.parametrize(("method", "expected"), [("GET", 200), ("PUT", 502), ("POST", 502)])
def test_a_kept_connection_closed_by_the_request_itself(method: str, expected: int):
    """The endpoint takes the second request of a connection and closes without a word: it may have acted."""
    with closing_at_second() as (address, seen), gateway(before(address), threads=1) as running:
        for number in range(10):
            assert status(ask(running, path=f"/first/{number}")) == 200
            assert status(ask(running, method, f"/again/{number}")) == expected
            assert seen[f"/again/{number}"] == (2 if expected == 200 else 1)


@contextlib.contextmanager
def closing_at_second() -> Iterator[tuple[str, Counter[str]]]:
    """A server that answers the first request of each connection and closes at the second, having read it."""
    server = socket.create_server(("127.0.0.1", 0))
    seen: Counter[str] = Counter()

    def serve(connected: socket.socket) -> None:
        with connected, contextlib.suppress(OSError):
            for number in range(2):
                data = b""
                while b"\r\n\r\n" not in data:
                    if not (more := connected.recv(65536)):
                        return
                    data += more
                seen[data.split(b" ")[1].decode()] += 1
                if number == 0:
                    connected.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connected, _ = server.accept()
                threading.Thread(target=serve, args=[connected], daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield "{}:{}".format(*server.getsockname()), seen
    finally:
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        server.close()


def test_an_upload_on_a_dead_connection_is_not_sent_twice():
    """The body has left the client's connection: it cannot be sent again, whatever the method."""
    with closing_at_second() as (address, seen), gateway(before(address), threads=1) as running:
        assert status(ask(running, path="/first")) == 200
        assert status(ask(running, "POST", "/again", b"x" * 100_000)) == 502
        assert seen["/again"] == 1
