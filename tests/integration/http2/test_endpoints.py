# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 to endpoints: messages, content both ways, many at a time, what the endpoint allows."""

from __future__ import annotations

import hashlib
import threading
from contextlib import ExitStack

import pytest
from h2.settings import SettingCodes

from tests.integration.http2.client import client
from tests.integration.http2.server import Asked, Connection, fetch, origin, plain, to_http2
from tests.integration.http2.test_limits import resident
from tests.integration.tls.authority import Authority, Pair
from tests.integration.tls.backends import trusts
from tidegate.testing import Reply, endpoint, gateway, wait_until

TIMEOUT = 30.0
LARGE = 5 << 20


def test_requests_of_both_versions_go_on_one_connection() -> None:
    with origin() as upstream, gateway(to_http2(upstream.port)) as running:
        with client(running) as connected:
            answers = connected.wait(*(connected.send(f"/{number}?a=b") for number in range(5)))
        assert {(answer.status, bytes(answer.body)) for answer in answers} == {(200, b"ok\n")}
        assert fetch(running, "/last", headers={"Cookie": "a=1", "TE": "trailers"}) == (200, b"ok\n")
        assert len(upstream.connections) == 1
        assert {entry["endpoint_protocol"] for entry in running.log(6)} == {"HTTP/2"}
        asked = upstream.wait_for(6)
        first, last = asked[0], asked[-1]
    assert first.headers[:4] == [
        (":method", "GET"),
        (":authority", "localhost"),
        (":scheme", "http"),
        (":path", "/0?a=b"),
    ]
    assert first.get("via") == "2 tidegate"
    assert first.get("x-forwarded-for") == "127.0.0.1"
    assert len(first.get("x-request-id") or "") == 26
    assert (last.get("via"), last.get("cookie"), last.get("te")) == ("1.1 tidegate", "a=1", "trailers")
    names = {name for name, _ in last.headers}
    assert not names & {"host", "connection", "transfer-encoding", "keep-alive"}
    assert all(name == name.lower() for name in names)


def test_inside_of_tls_it_is_spoken_with_who_chooses_it(authority: Authority, pair: Pair) -> None:
    for protocols in (["h2", "http/1.1"], ["h2"]):
        context = pair.origin()
        context.set_alpn_protocols(protocols)
        with origin(tls=context) as upstream:
            with gateway(to_http2(upstream.port, tls=trusts(authority))) as running:
                assert [fetch(running) for _ in range(3)] == [(200, b"ok\n")] * 3
            assert upstream.chosen == ["h2"]
            assert upstream.asked[0].get(":scheme") == "https"
    for chosen in (["http/1.1"], []):
        context = pair.origin()
        if chosen:
            context.set_alpn_protocols(chosen)
        with endpoint(tls=context) as old:
            with gateway(to_http2(old.port, tls=trusts(authority))) as running:
                assert [fetch(running) for _ in range(3)] == [(200, b"ok\n")] * 3
                assert all("endpoint_protocol" not in entry for entry in running.log(3))
            assert len(old.connections) == 1
    context = pair.origin()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with endpoint(tls=context) as old:
        text = to_http2(old.port, tls=trusts(authority), http2=False)
        with gateway(text) as running:
            assert fetch(running) == (200, b"ok\n")


@pytest.mark.parametrize("status", [200, 204, 304, 404, 503])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_content_is_where_it_belongs(method: str, status: int) -> None:
    body = b"" if status in (204, 304) or method == "HEAD" else b"content"

    def reply(connection: Connection, asked: Asked) -> None:
        length = [] if status == 204 else [("content-length", "7")]
        if asked.get("x-late"):
            connection.head(asked, status, length)
            connection.data(asked, body, ends=True)
        else:
            connection.answer(asked, status, length, body=body)

    with origin(reply) as upstream, gateway(to_http2(upstream.port)) as running:
        connected = plain(running)
        for late in ({}, {"X-Late": "1"}):
            connected.request(method, "/", headers=late)
            answer = connected.getresponse()
            assert (answer.status, answer.read()) == (status, body)
            assert answer.getheader("Content-Length") == (None if status == 204 else "7")
            assert answer.getheader("Via") == "2 tidegate"
        with client(running) as other:
            for headers in ([], [("x-late", "1")]):
                told = other.ask("/", method=method, headers=headers)
                assert (told.status, bytes(told.body), told.ended) == (status, body, True)
        assert len(upstream.connections) == 1
        connected.close()


def _whole(connection: Connection, asked: Asked) -> None:
    digest = hashlib.sha256(asked.body).hexdigest().encode()
    length = {"content-length": str(LARGE + 64)} if asked.get("x-length") else {}
    connection.answer(asked, 200, length.items(), bytes(asked.body[:LARGE]) + digest)


@pytest.mark.parametrize("version", ["1.1", "2"])
@pytest.mark.parametrize("length", [True, False])
def test_large_bodies_go_both_ways(version: str, length: bool) -> None:
    body = bytes(range(256)) * (LARGE >> 8)
    digest = hashlib.sha256(body).hexdigest().encode()
    headers = {"content-length": str(LARGE), "x-length": "1"} if length else {}
    listener = {"limits": {"body_size": "100MiB"}}
    with origin(_whole) as upstream, gateway(to_http2(upstream.port, listener=listener)) as running:
        if version == "2":
            with client(running) as connected:
                answer = connected.ask("/", method="POST", headers=headers.items(), body=body)
                assert (answer.status, bytes(answer.body)) == (200, body + digest)
        else:
            pieces = None if length else iter([body[:100], body[100 : 1 << 20], body[1 << 20 :]])
            status, told = fetch(
                running,
                method="POST",
                headers=headers,
                body=pieces or body,
                encode_chunked=not length,
            )
            assert (status, told) == (200, body + digest)
        [asked] = upstream.asked
        assert asked.get("content-length") == (str(LARGE) if length else None)


def test_trailers_go_both_ways() -> None:
    def reply(connection: Connection, asked: Asked) -> None:
        connection.answer(asked, body=b"x", trailers=[("x-sum", "1"), ("grpc-status", "0")])

    with origin(reply) as upstream, gateway(to_http2(upstream.port)) as running:
        with client(running) as connected:
            answer = connected.ask("/", method="POST", body=b"data", trailers=[("x-end", "yes")])
            assert (bytes(answer.body), answer.trailers) == (b"x", [("x-sum", "1"), ("grpc-status", "0")])
        [asked] = upstream.asked
        assert (bytes(asked.body), asked.trailers) == (b"data", [("x-end", "yes")])
        bare = plain(running)
        bare.connect()
        bare.sock.sendall(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n"
            b"4\r\ndata\r\n0\r\nX-End: also\r\n\r\n"
        )
        seen = b""
        while not seen.endswith(b"\r\n\r\n") or b"0\r\n" not in seen:
            piece = bare.sock.recv(65_536)
            assert piece
            seen += piece
        assert seen.endswith(b"1\r\nx\r\n0\r\nx-sum: 1\r\ngrpc-status: 0\r\n\r\n")
        assert upstream.asked[-1].trailers == [("x-end", "also")]
        bare.close()


def test_trailers_alone_are_a_response_without_content() -> None:
    def reply(connection: Connection, asked: Asked) -> None:
        connection.head(asked, 200, [("grpc-status", "5")], ends=True)

    with origin(reply) as upstream, gateway(to_http2(upstream.port)) as running:
        with client(running) as connected:
            answer = connected.ask("/")
        assert (answer.get("grpc-status"), answer.get("content-length")) == ("5", None)
        assert answer.ended and not answer.body
        assert fetch(running) == (200, b"")


def test_interim_responses_are_passed_on() -> None:
    def reply(connection: Connection, asked: Asked) -> None:
        connection.head(asked, 103, [("link", "</a.css>; rel=preload")])
        connection.answer(asked, body=b"ok\n")

    with origin(reply) as upstream, gateway(to_http2(upstream.port)) as running, client(running) as connected:
        answer = connected.ask("/")
    assert (answer.interim, answer.status, bytes(answer.body)) == ([103], 200, b"ok\n")


def test_a_client_that_asks_may_continue_when_the_endpoint_says_so() -> None:
    def begun(connection: Connection, asked: Asked) -> None:
        assert asked.get("expect") == "100-continue"
        connection.head(asked, 100)

    with origin(begun=begun) as upstream, gateway(to_http2(upstream.port)) as running:
        bare = plain(running)
        bare.connect()
        bare.sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert bare.sock.recv(1000).startswith(b"HTTP/1.1 100 ")
        bare.sock.sendall(b"data")
        assert bare.sock.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert bytes(upstream.asked[0].body) == b"data"
        bare.close()


def test_an_answer_may_come_before_the_request_is_whole() -> None:
    def begun(connection: Connection, asked: Asked) -> None:
        connection.answer(asked, 413, body=b"too much")
        if asked.get("x-stop"):
            with connection.lock:
                connection.machine.reset_stream(asked.stream, 0)
            connection.flush()

    with origin(None, begun) as upstream, gateway(to_http2(upstream.port)) as running:
        with client(running) as connected:
            for headers in ([], [("x-stop", "1")]):
                stream = connected.send("/", method="POST", headers=headers, body=b"begun", ends=False)
                [answer] = connected.wait(stream)
                assert (answer.status, bytes(answer.body)) == (413, b"too much")
            assert connected.ask("/", headers=[("x-again", "1")]).status == 413
        assert len(upstream.connections) == 1


def test_what_a_client_gives_up_is_cancelled_and_the_connection_goes_on() -> None:
    def begun(connection: Connection, asked: Asked) -> None:
        if asked.get(":path") == "/endless":
            connection.head(asked)
            connection.data(asked, bytes(64 << 20))
        elif asked.get(":path") == "/":
            connection.answer(asked, body=b"ok\n")

    def resets(path: str, wanted: list[int | None]) -> None:
        wait_until(
            lambda: [asked.reset for asked in upstream.asked if asked.get(":path") == path] == wanted, TIMEOUT
        )

    with origin(None, begun) as upstream, gateway(to_http2(upstream.port)) as running:
        for path in ("/silent", "/endless"):
            with client(running) as connected:
                stream = connected.send(path)
                resets(path, [None])
                connected.machine.reset_stream(stream, 8)
                connected.flush()
                resets(path, [8])
        bare = plain(running)
        bare.request("GET", "/endless")
        bare.getresponse().read(10)
        bare.close()
        resets("/endless", [8, 8])
        assert fetch(running) == (200, b"ok\n")
        assert len(upstream.connections) == 1


def test_windows_follow_the_client() -> None:
    sent = 0

    def reply(connection: Connection, asked: Asked) -> None:
        nonlocal sent
        connection.head(asked)
        if asked.get(":path") == "/":
            connection.data(asked, b"ok\n", ends=True)
            return
        while not connection.ended and asked.reset is None and sent < 64 << 20:
            connection.data(asked, bytes(16 << 10))
            sent += 16 << 10

    with origin(reply) as upstream, gateway(to_http2(upstream.port)) as running:
        with client(running, reads=False) as connected:
            connected.send("/all")
            while connected.machine.inbound_flow_control_window > 0:
                assert connected.step()
            # What both windows and buffers in between hold, and no more, while others are served.
            for _ in range(3):
                assert fetch(running) == (200, b"ok\n")
            assert sent < 4 << 20
        assert len(upstream.connections) == 1


def test_endpoints_may_send_little_ahead_for_each_of_many_requests_of_one_client() -> None:
    with (
        origin(None) as upstream,
        gateway(to_http2(upstream.port)) as running,
        client(running) as connected,
    ):
        for number in range(99):
            connected.send(f"/{number}")
            if number < 11:
                upstream.wait_for(number + 1)
        upstream.wait_for(99)
        windows = [
            connection.machine.local_flow_control_window(stream)
            for connection in upstream.connections
            for stream in connection.asked
        ]
    # One or a few have more at once, and all of them leave most of 1 MiB to their requests.
    assert sorted(windows) == [2 << 10] * 88 + [16 << 10] * 11


def test_answers_that_nobody_takes_hold_little_on_both_sides() -> None:
    def reply(connection: Connection, asked: Asked) -> None:
        connection.head(asked)
        if asked.get(":method") == "GET":
            with connection.lock:
                room = connection.machine.local_flow_control_window(asked.stream)
            connection.data(asked, bytes(room))

    with origin(reply) as upstream, gateway(to_http2(upstream.port)) as running, ExitStack() as stack:
        pid = running.status()["pid"]
        before = 0
        for number in range(4 + 12):
            # What every load takes is taken.
            before = resident(pid) if number == 4 else before
            connected = stack.enter_context(client(running, reads=False))
            connected.machine.update_settings({4: 0})
            streams = [connected.send("/") for _ in range(99)]
            while not all(connected.answers[stream].status for stream in streams):
                assert connected.step()
        held = resident(pid) - before
        # Memory becomes resident in steps of up to 2 MiB.
        assert held <= 12 + 2 << 20, held


def test_a_client_that_takes_what_comes_has_more_sent_ahead() -> None:
    seen: dict[str, list[int]] = {}
    gate = threading.Event()

    def reply(connection: Connection, asked: Asked) -> None:
        assert gate.wait(TIMEOUT)
        windows = seen.setdefault(str(asked.get(":path")), [])
        connection.head(asked)
        for _ in range(64):
            windows.append(connection.machine.local_flow_control_window(asked.stream))
            connection.data(asked, bytes(16 << 10))
        connection.data(asked, b"", ends=True)

    with (
        origin(reply) as upstream,
        gateway(to_http2(upstream.port)) as running,
        client(running) as connected,
    ):
        streams = [connected.send(f"/{number}") for number in range(20)]
        upstream.wait_for(20)
        gate.set()
        answers = connected.wait(*streams)
    assert {len(answer.body) for answer in answers} == {1 << 20}
    # Those that came first may have been few.
    assert {windows[0] for windows in seen.values()} <= {2 << 10, 16 << 10}
    # Most have more than at first at some time, and all of them leave room for requests.
    assert sorted(max(windows) for windows in seen.values())[10] > 4 << 10


@pytest.mark.parametrize(("count", "most"), [(2, 128 << 10), (4, 64 << 10)])
def test_a_few_downloads_have_much_sent_ahead(count: int, most: int) -> None:
    seen: dict[int, int] = {}
    gate = threading.Event()
    ends = threading.Barrier(count)

    def reply(connection: Connection, asked: Asked) -> None:
        assert gate.wait(TIMEOUT)
        connection.head(asked)
        for _ in range(64):
            connection.data(asked, bytes(16 << 10))
            window = connection.machine.local_flow_control_window(asked.stream)
            seen[asked.stream] = max(seen.get(asked.stream, 0), window)
        ends.wait(TIMEOUT)
        connection.data(asked, b"", ends=True)

    with (
        origin(reply) as upstream,
        gateway(to_http2(upstream.port)) as running,
        client(running) as connected,
    ):
        streams = [connected.send(f"/{number}") for number in range(count)]
        upstream.wait_for(count)
        gate.set()
        answers = connected.wait(*streams)
    assert {len(answer.body) for answer in answers} == {1 << 20}
    # What was sent last is not taken yet.
    assert all(most // 2 < window <= most for window in seen.values()), seen


def test_an_endpoint_that_takes_nothing_stops_its_client_only() -> None:
    def begun(connection: Connection, asked: Asked) -> None:
        if asked.get(":method") == "GET":
            connection.answer(asked, body=b"ok\n")

    listener = {"limits": {"body_size": "100MiB"}}
    with origin(None, begun, reads=False) as upstream:
        text = to_http2(upstream.port, listener=listener)
        with gateway(text) as running, client(running) as connected:
            stream = connected.send("/", method="POST", body=bytes(60_000), ends=False)
            wait_until(lambda: bool(upstream.asked) and len(upstream.asked[0].body) == 60_000, TIMEOUT)
            assert connected.ask("/").body == b"ok\n"
            assert fetch(running) == (200, b"ok\n")
            assert not connected.answers[stream].is_over
        assert len(upstream.connections) == 1


@pytest.mark.parametrize("most", [1, 3])
def test_the_streams_that_an_endpoint_allows_are_not_exceeded(most: int) -> None:
    lock, gate = threading.Lock(), threading.Event()
    now: dict[Connection, int] = {}
    peak = 0

    def begun(connection: Connection, asked: Asked) -> None:
        nonlocal peak
        with lock:
            now[connection] = now.get(connection, 0) + 1
            peak = max(peak, now[connection])
        assert gate.wait(TIMEOUT)
        with lock:
            now[connection] -= 1
        connection.answer(asked, body=b"ok\n")

    settings = {SettingCodes.MAX_CONCURRENT_STREAMS: most}
    with origin(None, begun, settings=settings) as upstream:
        with gateway(to_http2(upstream.port)) as running, client(running) as connected:
            streams = [connected.send("/") for _ in range(12)]
            wait_until(lambda: len(upstream.asked) == 12, TIMEOUT)
            gate.set()
            answers = connected.wait(*streams)
        assert {bytes(answer.body) for answer in answers} == {b"ok\n"}
        assert peak <= most
        assert len(upstream.connections) <= 12


def test_many_at_a_time_share_a_connection() -> None:
    with origin() as upstream, gateway(to_http2(upstream.port)) as running:
        with client(running) as connected:
            answers = connected.wait(*(connected.send("/") for _ in range(90)))
        assert {bytes(answer.body) for answer in answers} == {b"ok\n"}
        assert len(upstream.connections) == 1


def test_an_idle_connection_is_closed_in_good_order() -> None:
    with origin() as upstream:
        with gateway(to_http2(upstream.port, pool={"idle_time": "200ms"})) as running:
            assert fetch(running) == (200, b"ok\n")
            wait_until(lambda: upstream.connections[0].ended, TIMEOUT)
            assert upstream.connections[0].goaway is not None
            assert fetch(running) == (200, b"ok\n")
        with gateway(to_http2(upstream.port, pool={"idle": 0})) as running:
            for _ in range(2):
                assert fetch(running) == (200, b"ok\n")
        assert upstream.accepted == 4


def test_a_switch_of_protocols_is_refused_in_clear_words() -> None:
    headers = {"Connection": "upgrade", "Upgrade": "echo"}
    with origin() as upstream, gateway(to_http2(upstream.port)) as running:
        assert fetch(running, headers=headers)[0] == 502
        [entry] = running.log(1)
        assert entry["error"] == "http_upgrade_failed"
        assert upstream.accepted == 0


def test_inside_of_tls_protocols_are_switched_over_http1(authority: Authority, pair: Pair) -> None:
    context = pair.origin()
    context.set_alpn_protocols(["h2", "http/1.1"])
    reply = Reply(101, headers=[("Connection", "upgrade"), ("Upgrade", "echo")])
    with endpoint(reply, tls=context) as upstream:
        text = to_http2(upstream.port, tls=trusts(authority))
        with gateway(text) as running:
            bare = plain(running)
            bare.connect()
            bare.sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
            assert bare.sock.recv(1000).startswith(b"HTTP/1.1 101 ")
            bare.close()


def test_endpoints_are_checked_over_http2() -> None:
    well = threading.Event()
    well.set()

    def reply(connection: Connection, asked: Asked) -> None:
        if asked.get(":path") == "/health":
            assert asked.get("user-agent") == "tidegate-health"
            connection.answer(asked, 200 if well.is_set() else 503, body=b"I am here")
        else:
            connection.answer(asked, body=b"ok\n")

    check = {"type": "http", "path": "/health", "body": "am", "interval": "100ms", "healthy_after": 1}
    with origin(reply) as upstream, gateway(to_http2(upstream.port, health_check=check)) as running:

        def is_up(wanted: bool) -> bool:
            [found] = [each for each in running.status()["backends"] if each["name"] == "shop"]
            return bool((found["endpoints"][0]["health"] == "up") == wanted)

        wait_until(lambda: is_up(True), TIMEOUT)
        assert fetch(running) == (200, b"ok\n")
        well.clear()
        wait_until(lambda: is_up(False), TIMEOUT)


def test_copies_go_over_http2() -> None:
    with origin() as real, origin() as copies:
        more = {
            "backends": {
                "shop": {"endpoints": [f"127.0.0.1:{real.port}"], "http2": True},
                "copies": {"endpoints": [f"127.0.0.1:{copies.port}"], "http2": True},
            }
        }
        text = to_http2(real.port, route={"mirror": {"to": "copies"}}, more=more)
        with gateway(text) as running:
            with client(running) as connected:
                assert connected.ask("/a?b=c", method="POST", body=b"data", trailers=[("x-end", "1")]).status
            [copy] = copies.wait_for(1)
        assert (copy.get(":path"), bytes(copy.body)) == ("/a?b=c", b"data")
        assert copy.trailers == [("x-end", "1")]
        assert copy.get("x-mirrored-by") == "tidegate"
        assert not {"connection", "host"} & {name for name, _ in copy.headers}


def test_an_endpoint_that_is_told_whose_connection_it_is_has_one_for_each_request() -> None:
    # The test's server knows no PROXY protocol, and says so by breaking off.
    heads: list[bytes] = []

    def script(connected: object) -> None:
        heads.append(connected.recv(8))  # type: ignore[attr-defined]

    with origin(script=script) as upstream:
        with gateway(to_http2(upstream.port, proxy_protocol="v1")) as running:
            for _ in range(2):
                assert fetch(running, method="POST")[0] == 502
        assert heads == [b"PROXY TC"] * 2
