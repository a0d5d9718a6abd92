# SPDX-License-Identifier: Apache-2.0
"""Addresses whose connections come to nothing time and again: their next ones begin one after the other."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
from collections.abc import Callable

import pytest

from benches.attacks import frames
from tests.integration.tls import client as tls
from tests.integration.tls.authority import Authority, Pair
from tidegate.testing import RunningGateway, endpoint, gateway

TIMEOUT = 30.0
HONEST, GUILTY = "127.0.0.1", "127.0.0.5"
ENOUGH = 30
"""Connections for nothing after which an address is suspected, with some to spare."""


def connected(running: RunningGateway, source: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.port), TIMEOUT, source_address=(source, 0))


def asked(running: RunningGateway, context: ssl.SSLContext, source: str) -> bytes:
    """The status line of one request over a connection of its own."""
    with context.wrap_socket(connected(running, source), server_hostname="localhost") as wrapped:
        return tls.ask(wrapped)[0][:12]


def read_out(connection: socket.socket) -> None:
    """Reads until the other side ends it."""
    with contextlib.suppress(OSError):
        while connection.recv(65_536):
            pass


def garbage(running: RunningGateway, context: ssl.SSLContext) -> None:
    """Bytes that are no TLS."""
    with connected(running, GUILTY) as bare, contextlib.suppress(ConnectionError):
        bare.sendall(b"\x17" * 64)
        read_out(bare)


def leaving(running: RunningGateway, context: ssl.SSLContext) -> None:
    """A handshake, and nothing asked; the gateway is waited for, so that it knows."""
    with context.wrap_socket(connected(running, GUILTY), server_hostname="localhost") as wrapped:
        wrapped.unwrap().close()


def resetting(running: RunningGateway, context: ssl.SSLContext) -> None:
    """Requests over HTTP/2 that are given up at once, until that is too many."""
    with context.wrap_socket(connected(running, GUILTY), server_hostname="localhost") as wrapped:
        pairs = (frames.get(2 * n + 1, b"/") + frames.reset(2 * n + 1) for n in range(200))
        with contextlib.suppress(OSError):
            wrapped.sendall(frames.begin() + b"".join(pairs))
        read_out(wrapped)


def large(running: RunningGateway, context: ssl.SSLContext) -> None:
    """A head that is too large."""
    with context.wrap_socket(connected(running, GUILTY), server_hostname="localhost") as wrapped:
        with contextlib.suppress(OSError):
            wrapped.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 60_000)
        read_out(wrapped)


Offence = Callable[[RunningGateway, ssl.SSLContext], None]
OFFENCES: list[tuple[Offence, str]] = [
    (garbage, "http/1.1"), (leaving, "http/1.1"), (resetting, "h2"), (large, "http/1.1"),
]  # fmt: skip


def delayed(running: RunningGateway) -> int:
    return int(running.status()["connections_delayed"])


@pytest.mark.parametrize(("offence", "protocol"), OFFENCES, ids=lambda each: getattr(each, "__name__", ""))
def test_who_comes_for_nothing_again_and_again_waits_and_nobody_else(
    offence: Offence, protocol: str, authority: Authority, pair: Pair
) -> None:
    honest, guilty = authority.client(), authority.client()
    guilty.set_alpn_protocols([protocol])
    with gateway(tls.configuration(pair.listener()), threads=1) as running:
        offence(running, guilty)
        assert asked(running, honest, GUILTY) == b"HTTP/1.1 200"
        assert delayed(running) == 0, "once is nothing"
        for _ in range(ENOUGH):
            offence(running, guilty)
        before = delayed(running)
        assert before > 0
        assert asked(running, honest, HONEST) == b"HTTP/1.1 200"
        assert delayed(running) == before
        # Nobody is refused: others may share the address.
        assert asked(running, honest, GUILTY) == b"HTTP/1.1 200"
        assert delayed(running) == before + 1
        with socket.create_connection(("127.0.0.1", running.ports["admin"]), TIMEOUT) as admin:
            admin.sendall(tls.request("/metrics"))
            text = tls.response(admin)[1].decode()
        assert f"\ntidegate_connections_delayed_total {before + 1}\n" in text


def test_connections_that_were_used_count_for_nothing(authority: Authority, pair: Pair) -> None:
    context = authority.client()
    with gateway(tls.configuration(pair.listener()), threads=1) as running:
        for _ in range(2 * ENOUGH):
            assert asked(running, context, GUILTY) == b"HTTP/1.1 200"
        assert delayed(running) == 0


def test_a_proxy_that_is_trusted_is_not_suspected(authority: Authority, pair: Pair) -> None:
    context = authority.client()
    settings = {"gateway": {"threads": 1, "admin": {"port": 60_999}, "trusted_proxies": [GUILTY]}}
    with gateway(tls.configuration(pair.listener(), **settings)) as running:
        for _ in range(ENOUGH):
            garbage(running, context)
        assert asked(running, context, GUILTY) == b"HTTP/1.1 200"
        assert delayed(running) == 0


def test_a_whole_crowd_of_suspects_gets_its_turn(authority: Authority, pair: Pair) -> None:
    context = authority.client()
    with gateway(tls.configuration(pair.listener()), threads=1) as running:
        for _ in range(ENOUGH):
            garbage(running, context)
        crowd = [connected(running, GUILTY) for _ in range(50)]
        for bare in crowd:
            with context.wrap_socket(bare, server_hostname="localhost") as wrapped:
                assert tls.ask(wrapped)[0].startswith(b"HTTP/1.1 200")
        assert delayed(running) >= 50


def test_what_waits_longer_than_a_handshake_may_take_is_reset(authority: Authority, pair: Pair) -> None:
    listener = {**pair.listener(), "timeouts": {"handshake": "100ms"}}
    context = authority.client()
    with gateway(tls.configuration(listener), threads=1) as running:
        for _ in range(ENOUGH):
            garbage(running, context)
        crowd = [connected(running, GUILTY) for _ in range(200)]
        try:
            with pytest.raises(OSError):
                context.wrap_socket(crowd[-1], server_hostname="localhost")
        finally:
            for bare in crowd:
                bare.close()
        assert asked(running, context, HONEST) == b"HTTP/1.1 200"


def test_connections_of_layer_4_wait_as_well(authority: Authority, pair: Pair) -> None:
    context = authority.client()
    with endpoint() as server:
        listener = {**pair.listener(), "protocol": "tcp"}
        route = {"type": "tcp", "listeners": "web", "to": f"tcp://{server.address}"}
        text = json.loads(tls.configuration(listener, route))
        with gateway(json.dumps(text), threads=1) as running:
            for _ in range(ENOUGH):
                garbage(running, context)
            before = delayed(running)
            assert before > 0
            assert asked(running, context, GUILTY) == b"HTTP/1.1 200"
            assert delayed(running) == before + 1
