# SPDX-License-Identifier: Apache-2.0
"""Who may come in, how fast, and with what."""

import contextlib
import socket
import time

import pytest

from tidegate import ConfigError
from tidegate.testing import Wire, endpoint, gateway

from .kit import ask, error, shows, small

_ADMIN = "admin: { port: 0 }"


def _refused(metrics: str, reason: str) -> int:
    [line] = [line for line in metrics.splitlines() if f'refused_total{{reason="{reason}"}}' in line]
    return int(line.rpartition(" ")[2])


@shows("Listener.clients", "Admission.allow", "Admission.deny")
@pytest.mark.parametrize(
    ("clients", "is_in"),
    [
        ("allow: [127.0.0.0/8]", True),
        ("allow: [192.0.2.0/24, 127.0.0.1]", True),
        ("allow: [192.0.2.0/24]", False),
        ("deny: [127.0.0.1]", False),
        ("allow: [127.0.0.0/8], deny: [127.0.0.0/30]", False),
        ("deny: [192.0.2.0/24]", True),
    ],
)
def test_a_listener_takes_connections_of_whom_it_admits(clients: str, is_in: bool) -> None:
    with endpoint() as upstream, small(upstream, listener=f"clients: {{ {clients} }}") as running:
        if is_in:
            assert ask(running).status == 200
        else:
            with pytest.raises((ConnectionError, AssertionError)):
                ask(running)
            assert upstream.messages == []
        assert running.status()["connections_refused"] == (0 if is_in else 1)


def test_a_refused_address_is_counted_as_such_and_the_admin_listener_stays_open() -> None:
    with small(settings=_ADMIN, listener="clients: { deny: ['::/0', 0.0.0.0/0] }") as running:
        for _ in range(3):
            with pytest.raises((ConnectionError, AssertionError)):
                ask(running)
        port = running.ports["admin"]
        assert _refused(ask(running, "/metrics", port=port).body.decode(), "client") == 3


@shows("Route.clients")
def test_a_route_answers_whom_it_admits_by_the_clients_address() -> None:
    trusted = "trusted_proxies: [127.0.0.1]"
    route = "clients: { allow: [198.51.100.0/24], deny: [198.51.100.7] }"
    with endpoint() as upstream, small(upstream, settings=trusted, route=route) as running:
        for address, status in (("198.51.100.1", 200), ("198.51.100.7", 403), ("203.0.113.1", 403)):
            response = ask(running, headers=[f"X-Forwarded-For: {address}"])
            assert (response.status, error(response)) == (
                status,
                "" if status == 200 else "http_request_denied",
            )
        assert ask(running).status == 403
        assert len(upstream.messages) == 1


@shows("ListenerLimits.connection_rate", "ListenerLimits.connection_burst")
def test_connections_come_no_faster_than_the_rate_after_a_burst() -> None:
    limits = "limits: { connection_rate: 1, connection_burst: 3 }"

    def come(port: int) -> bool:
        try:
            with Wire(("127.0.0.1", port)) as wire:
                wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET")
                return wire.wait_final(1)
        except ConnectionError:
            return False

    with endpoint() as upstream, small(upstream, listener=limits, settings=_ADMIN, threads=2) as running:
        begin = time.monotonic()
        served = sum(come(running.port) for _ in range(20))
        passed = time.monotonic() - begin
        assert 3 <= served <= 4 + passed
        metrics = ask(running, "/metrics", port=running.ports["admin"]).body.decode()
        assert _refused(metrics, "rate") == 20 - served
        deadline = time.monotonic() + 20
        while not come(running.port):
            assert time.monotonic() < deadline


@shows("Route.media_types")
@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("image/png", 200),
        ("text/plain", 415),
        ("application/jsonx", 415),
        (None, 415),
    ],
)
def test_a_body_is_of_a_media_type_that_the_route_takes(given: str | None, status: int) -> None:
    headers = [] if given is None else [f"Content-Type: {given}"]
    with (
        endpoint() as upstream,
        small(upstream, route="media_types: [application/json, image/*]") as running,
    ):
        for more, body in (([], b"{}"), (["Transfer-Encoding: chunked"], b"2\r\n{}\r\n0\r\n\r\n")):
            response = ask(running, method="POST", headers=[*headers, *more], body=body)
            assert response.status == status
            assert error(response) == ("" if status == 200 else "media_type_unsupported")
        assert ask(running).status == 200
        assert ask(running, method="POST", headers=["Content-Length: 0"]).status == 200
        assert len(upstream.messages) == (4 if status == 200 else 2)


@shows("Route.buffer_request")
def test_an_endpoint_is_asked_when_the_whole_body_is_there() -> None:
    with (
        endpoint() as upstream,
        small(upstream, route="buffer_request: 20B") as running,
        Wire(("127.0.0.1", running.port)) as wire,
    ):
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "POST")
        # A request on another connection passes it.
        assert ask(running, "/other").status == 200
        assert [message.target for message in upstream.messages] == ["/other"]
        wire.send(b"6\r\n world\r\n0\r\n\r\n")
        assert wire.wait_final(1) and wire.final_responses[0].status == 200
        message = upstream.messages[1]
        assert (message.body, message.get("content-length")) == (b"hello world", "11")
        for size, status in ((19, 200), (20, 200), (21, 413)):
            assert ask(running, method="PUT", body=b"x" * size).status == status
            chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"x" * size)
            response = ask(running, method="PUT", headers=["Transfer-Encoding: chunked"], body=chunked)
            assert response.status == status


def test_a_streamed_body_that_is_buffered_can_be_sent_again() -> None:
    backend = "balancing: round_robin, passive_health: { enabled: false }"
    route = "retries: { attempts: 1, methods: [PUT] }, buffer_request: 1MiB"
    with (
        endpoint() as well,
        endpoint(reset=True, cut_at=0) as flaky,
        small(well, flaky, backend=backend, route=route) as running,
    ):
        for _ in range(4):
            with Wire(("127.0.0.1", running.port)) as wire:
                wire.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nbegin", "PUT")
                wire.send(b"x" * 99_995)
                assert wire.wait_final(1) and wire.final_responses[0].status == 200
        assert flaky.messages and {len(message.body) for message in well.messages} == {100_000}


@pytest.mark.parametrize(
    ("listener", "route", "says"),
    [
        ("clients: { allow: [10.0.0.0/40] }", "", "10.0.0.0/40"),
        ("clients: { allow: [10.0.0.1], deny: [10.0.0.1] }", "", "allowed and denied; leave one out"),
        ("clients: { block: [10.0.0.1] }", "", "block"),
        ("limits: { connection_rate: 0 }", "", "connection_rate"),
        ("", "media_types: [json]", "write `application/json` or `image/*`"),
        ("", "media_types: ['*/*']", "`*` stands for a whole subtype"),
        ("", "buffer_request: lots", "buffer_request"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_to_write(listener: str, route: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        small(listener=listener, route=route)
    assert says in str(refused.value)


def test_clients_of_a_unix_socket_have_no_addresses() -> None:
    text = "listeners: { web: { address: 'unix:/tmp/x', clients: { deny: [10.0.0.1] } } }"
    with pytest.raises(ConfigError, match="have no addresses; leave `clients` out"):
        gateway(text)


def test_a_refused_connection_ends_before_a_byte_is_read() -> None:
    with (
        small(listener="clients: { deny: [127.0.0.1] }") as running,
        socket.create_connection(("127.0.0.1", running.port)) as connected,
    ):
        connected.settimeout(10)
        with contextlib.suppress(ConnectionResetError):
            assert connected.recv(1) == b""
