# SPDX-License-Identifier: Apache-2.0
import socket
from pathlib import Path

import pytest

from tidegate.testing import Reply, RunningGateway, Wire, endpoint, gateway

from .kit import ask, error, shows, small


@shows("Listener.address", "Listener.port")
def test_a_listener_is_where_it_says() -> None:
    web = '{ address: "::1", port: 0 }'
    text = f"listeners: {{ web: {web} }}\nroutes: [{{ path: /, to: {{ respond: {{ status: 204 }} }} }}]"
    with gateway(text, threads=1) as running:
        with socket.create_connection(("::1", running.port)) as connected:
            connected.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert connected.recv(64).startswith(b"HTTP/1.1 204")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", running.port)).close()


def test_a_listener_may_be_a_unix_socket_and_so_may_an_endpoint(tmp_path: Path) -> None:
    text = f"""
listeners: {{ web: {{ port: 0 }}, inner: {{ address: "unix:{tmp_path}/in.sock" }} }}
backends: {{ b: {{ endpoints: [{{ address: "unix:{tmp_path}/in.sock" }}] }} }}
routes:
  - {{ listeners: [inner], path: /, to: {{ respond: {{ status: 200, body: inner }} }} }}
  - {{ listeners: [web], path: /, to: b }}
"""
    with gateway(text, threads=1) as running:
        response = ask(running)
        assert (response.status, response.body) == (200, b"inner")


@shows("Listener.protocol", "Listener.proxy_status")
def test_proxy_status_is_told_only_where_it_is_asked_for() -> None:
    with endpoint(fail="refuse") as upstream, small(upstream) as running:
        assert error(ask(running)) == "connection_refused"
    with gateway(
        "listeners: { web: { port: 0 } }\nroutes: [{ path: /x, to: { respond: { status: 204 } } }]"
    ) as running:
        assert ask(running).get("proxy-status") is None


@shows("Listener.merge_slashes")
@pytest.mark.parametrize(("setting", "sent"), [("true", "/a/b"), ("false", "//a//b")])
def test_double_slashes_are_merged_or_kept(setting: str, sent: str) -> None:
    with endpoint() as upstream, small(upstream, listener=f"merge_slashes: {setting}") as running:
        ask(running, "//a//b")
        assert upstream.messages[0].target == sent


@shows("Listener.policies")
def test_a_listeners_policy_sees_every_response() -> None:
    policy = "policies: [{ type: response_headers, set: { X-Front: web } }]"
    with endpoint() as upstream, small(upstream, listener=policy) as running:
        assert ask(running).get("x-front") == "web"


@shows("Listener.limits", "ListenerLimits.header_size")
def test_a_header_section_may_be_as_long_as_the_limit() -> None:
    head = "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n"
    at = 2048 - len(head.format(""))
    with endpoint() as upstream, small(upstream, listener="limits: { header_size: 2KiB }") as running:
        for size, status in ((at - 1, 200), (at, 200), (at + 1, 431)):
            with Wire(("127.0.0.1", running.port)) as wire:
                wire.send(head.format("x" * size).encode(), "GET")
                assert wire.wait_final(1) and wire.final_responses[0].status == status, size


@shows("ListenerLimits.header_fields")
def test_a_request_may_have_as_many_fields_as_the_limit() -> None:
    with endpoint() as upstream, small(upstream, listener="limits: { header_fields: 5 }") as running:
        for count, status in ((3, 200), (4, 200), (5, 431)):  # and Host
            assert ask(running, headers=[f"X-{n}: 1" for n in range(count)]).status == status


@shows("ListenerLimits.target_size")
def test_a_target_may_be_as_long_as_the_limit() -> None:
    with endpoint() as upstream, small(upstream, listener="limits: { target_size: 1KiB }") as running:
        for size, status in ((1023, 200), (1024, 200), (1025, 414)):
            assert ask(running, "/" + "x" * (size - 1)).status == status


@shows("ListenerLimits.body_size")
def test_a_body_may_be_as_long_as_the_limit_however_it_is_framed() -> None:
    with endpoint() as upstream, small(upstream, listener="limits: { body_size: 10B }") as running:
        for size, status in ((9, 200), (10, 200), (11, 413)):
            body = b"x" * size
            assert ask(running, method="POST", body=body).status == status
            chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (size, body)
            response = ask(running, method="POST", headers=["Transfer-Encoding: chunked"], body=chunked)
            assert response.status == status


def _is_served(running: RunningGateway, held: list[Wire]) -> bool:
    try:
        wire = Wire(("127.0.0.1", running.port))
    except ConnectionResetError:
        return False
    held.append(wire)
    wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET")
    return wire.wait_final(1)


@shows("ListenerLimits.connections", "ListenerLimits.connections_per_address")
@pytest.mark.parametrize("setting", ["connections: 2", "connections_per_address: 2"])
def test_connections_beyond_the_limit_are_refused_until_one_ends(setting: str) -> None:
    held: list[Wire] = []
    with endpoint() as upstream, small(upstream, listener=f"limits: {{ {setting} }}") as running:
        assert [_is_served(running, held) for _ in range(3)] == [True, True, False]
        assert running.status()["connections_refused"] == 1
        held[0].close()
        assert any(_is_served(running, held) for _ in range(50))
        for wire in held:
            wire.close()


@shows("Listener.timeouts", "ListenerTimeouts.header")
def test_a_header_that_comes_too_slowly_is_a_408() -> None:
    with small(listener="timeouts: { header: 200ms }") as running, Wire(("127.0.0.1", running.port)) as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n", "GET")
        assert wire.wait_final(1) and wire.final_responses[0].status == 408


@shows("ListenerTimeouts.body_stall")
def test_a_body_that_stops_is_a_408() -> None:
    with (
        endpoint() as upstream,
        small(upstream, listener="timeouts: { body_stall: 200ms }") as running,
        Wire(("127.0.0.1", running.port)) as wire,
    ):
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc", "POST")
        assert wire.wait_final(1) and wire.final_responses[0].status == 408
        assert upstream.messages == []


@shows("ListenerTimeouts.body_rate")
def test_a_body_that_trickles_is_a_408_although_it_never_stops() -> None:
    timeouts = "timeouts: { body_stall: 300ms, body_rate: 1MiB }"
    with (
        endpoint() as upstream,
        small(upstream, listener=timeouts) as running,
        Wire(("127.0.0.1", running.port)) as wire,
    ):
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", "POST")
        while not wire.final_responses and wire.closed is None:
            wire.send(b"x" * 100)
            wire._run(lambda: bool(wire.final_responses), 0.02)
        assert wire.final_responses[0].status == 408


@shows("ListenerTimeouts.send_stall")
def test_a_client_that_stops_reading_is_let_go() -> None:
    large = Reply(body=b"x" * (30 << 20))
    with (
        endpoint(large) as upstream,
        small(upstream, listener="timeouts: { send_stall: 300ms }") as running,
        socket.create_connection(("127.0.0.1", running.port)) as connected,
    ):
        connected.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        entry = running.log(1)[0]
        assert (entry["error"], entry["detail"]) == ("client_gone", "the client stopped reading")


@shows("ListenerTimeouts.idle")
def test_an_idle_connection_is_closed_without_a_word() -> None:
    with (
        endpoint() as upstream,
        small(upstream, listener="timeouts: { idle: 200ms }") as running,
        Wire(("127.0.0.1", running.port)) as wire,
    ):
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET")
        assert wire.wait_closed() and len(wire.responses) == 1 and wire.closed == "fin"
