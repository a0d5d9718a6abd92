# SPDX-License-Identifier: Apache-2.0
"""The PROXY protocol, in and out: on listeners of every kind, to endpoints of requests and connections."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl

import pytest

from tests.integration.tls.authority import Authority
from tidegate import ConfigError
from tidegate.config.load import loads
from tidegate.testing import RunningGateway, endpoint, gateway

from .kit import Server, between, client, entry, read_all, wait_for

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LINE = b"PROXY TCP4 203.0.113.9 198.51.100.1 4711 443\r\n"
BINARY = SIGNATURE + b"\x21\x11\0\x0c" + bytes([203, 0, 113, 9, 198, 51, 100, 1]) + b"\x12\x67\x01\xbb"
WITH_MORE = SIGNATURE + b"\x21\x11\0\x13" + BINARY[16:] + b"\x04\0\x04abcd"
LOCAL = SIGNATURE + b"\x20\0\0\0"
TRUSTED = "proxy_protocol: 127.0.0.0/24"


def first(running: RunningGateway, *pieces: bytes, source: str | None = None) -> bytes:
    """What comes back for `pieces`, sent one after the other; empty for a close or reset."""
    try:
        with client(running, source=source) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                connection.sendall(piece)
            return connection.recv(4096)
    except ConnectionError:
        return b""


@pytest.mark.parametrize("head", [LINE, BINARY, WITH_MORE])
def test_a_proxy_says_whose_connection_it_is(head: bytes) -> None:
    match = "match: { clients: 203.0.113.9, local_addresses: 198.51.100.1 }"
    with Server() as server, between(server, listener=TRUSTED, route=match) as running:
        assert first(running, head + b"hello") == b"hello"
        assert first(running, *(head[at : at + 1] for at in range(len(head))), b"hello") == b"hello"
        assert {each["client"] for each in running.log(2)} == {"203.0.113.9"}
        assert {each["bytes_in"] for each in running.log(2)} == {5}


def test_a_proxy_may_speak_for_itself_and_must_say_so() -> None:
    with Server() as server, between(server, listener=TRUSTED) as running:
        for head in (LOCAL, b"PROXY UNKNOWN\r\n"):
            assert first(running, head + b"hello") == b"hello"
        assert {each["client"] for each in running.log(2)} == {"127.0.0.1"}
        for garbage in (
            b"hello, this is no head\r\n",
            LINE.replace(b" ", b"  "),
            SIGNATURE + b"\x21\x11\0\0",
        ):
            assert first(running, garbage) == b""
        told = [each for each in running.log(5) if each.get("error")]
        assert {each["error"] for each in told} == {"proxy_configuration_error"}
        assert len(server.connections) == 2


def test_strangers_are_not_believed_and_silent_proxies_are_not_waited_for() -> None:
    with Server() as server, between(server, listener=TRUSTED) as running:
        assert first(running, LINE, source="127.0.9.9").startswith(b"PROXY")
        assert entry(running)["client"] == "127.0.9.9"
    listener = "proxy_protocol: { sources: [127.0.0.1], timeout: 200ms }"
    with Server() as server, between(server, listener=listener) as running:
        assert first(running, LINE[:20]) == b""
        assert entry(running)["error"] == "proxy_configuration_error"


def test_lists_and_limits_are_those_of_the_client_that_is_announced() -> None:
    listener = TRUSTED + ", clients: { deny: [203.0.113.0/24] }"
    other = LINE.replace(b"203.0.113.9", b"192.0.2.7")
    with Server() as server, between(server, listener=listener) as running:
        assert first(running, LINE + b"hello") == b""
        assert first(running, other + b"hello") == b"hello"
    listener = TRUSTED + ", limits: { connections_per_address: 1 }"
    with Server() as server, between(server, listener=listener) as running, client(running) as held:
        held.sendall(LINE + b"x")
        assert held.recv(1) == b"x"
        assert first(running, LINE + b"hello") == b""
        assert first(running, other + b"hello") == b"hello"
        held.close()
        wait_for(lambda: first(running, LINE + b"hello") == b"hello")


def test_requests_have_the_client_that_was_announced_also_inside_of_tls(authority: Authority) -> None:
    pair = authority.pair("localhost")
    get = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with endpoint() as upstream:
        listeners = {
            "db": {"port": 60001, "proxy_protocol": ["127.0.0.1"]},
            "secure": {**pair.listener(), "proxy_protocol": ["127.0.0.1"]},
        }
        text = {"listeners": listeners, "routes": [{"path": "/", "to": upstream.url}]}
        with gateway(json.dumps(text), threads=1) as running:
            with client(running) as plain:
                plain.sendall(BINARY + get)
                assert plain.recv(4096).startswith(b"HTTP/1.1 200")
                # It rests meanwhile, and is still that client's.
                wait_for(lambda: running.status()["connections_resting"] == 1)
                plain.sendall(get)
                assert plain.recv(4096).startswith(b"HTTP/1.1 200")
            with client(running, listener="secure") as bare:
                bare.sendall(LINE)
                with authority.client().wrap_socket(bare, server_hostname="localhost") as wrapped:
                    wrapped.sendall(get)
                    assert wrapped.recv(4096).startswith(b"HTTP/1.1 200")
            upstream.wait_for(3)
            assert {each.get("x-forwarded-for") for each in upstream.messages} == {"203.0.113.9"}
            assert {each["client"] for each in running.log(3)} == {"203.0.113.9"}


def test_tls_that_is_passed_on_may_be_announced(authority: Authority) -> None:
    pair = authority.pair("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(ssl.SSLError), context.wrap_socket(connection, server_side=True) as wrapped:
            wrapped.sendall(b"inside")
            wrapped.recv(1)

    with Server(serve) as server:
        text = f"""
listeners: {{ db: {{ port: 0, protocol: tls, proxy_protocol: 127.0.0.1 }} }}
routes: [{{ type: tls, listeners: db, hosts: localhost, to: "tcp://{server.address}" }}]
"""
        with gateway(text, threads=1) as running, client(running) as bare:
            bare.sendall(WITH_MORE)
            with authority.client().wrap_socket(bare, server_hostname="localhost") as wrapped:
                assert wrapped.recv(64) == b"inside"
            assert entry(running)["client"] == "203.0.113.9"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_endpoints_are_told_whose_connection_it_is(version: str) -> None:
    heard: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        size = 28 if version == "v2" else 1
        head = connection.recv(size, socket.MSG_WAITALL)
        while version == "v1" and not head.endswith(b"\n"):
            head += connection.recv(1)
        heard.append(head)
        connection.sendall(b"ready")
        read_all(connection)

    with Server(serve) as server:
        told = f"proxy_protocol: {version}"
        with between(server, backend=told) as running, client(running) as connection:
            own, port = connection.getsockname()[1], running.ports["db"]
            assert connection.recv(5) == b"ready"
        if version == "v1":
            assert heard == [f"PROXY TCP4 127.0.0.1 127.0.0.1 {own} {port}\r\n".encode()]
        else:
            ends = bytes([127, 0, 0, 1]) * 2 + own.to_bytes(2, "big") + port.to_bytes(2, "big")
            assert heard == [SIGNATURE + b"\x21\x11\0\x0c" + ends]
        # Two gateways in a row: the second believes the first, and the endpoint hears of the client.
        heard.clear()
        with between(server, listener=TRUSTED, backend=f"proxy_protocol: {version}") as running:
            assert first(running, LINE) == b"ready"
        assert heard == [LINE if version == "v1" else BINARY]


def test_requests_to_an_endpoint_that_is_told_have_a_connection_each() -> None:
    """One that is kept would be another client's."""
    with endpoint() as upstream:
        inner = f"""
listeners: {{ web: {{ port: 0, proxy_protocol: 127.0.0.1 }} }}
routes: [{{ path: /, to: "{upstream.url}" }}]
"""
        with gateway(inner, threads=1) as second:
            outer = f"""
listeners: {{ db: {{ port: 0 }} }}
backends:
  b:
    endpoints: ["127.0.0.1:{second.port}"]
    proxy_protocol: v2
    health_check: {{ type: http, path: /healthy, interval: 100ms, timeout: 5s, healthy_after: 1 }}
routes: [{{ path: /, to: b }}]
"""
            with gateway(outer, threads=1) as running:
                wait_for(lambda: running.status()["backends"][0]["endpoints"][0]["health"] == "up")
                for source in ("127.0.0.5", "127.0.0.6", "127.0.0.5"):
                    got = first(running, b"GET /asked HTTP/1.1\r\nHost: a\r\n\r\n", source=source)
                    assert got.startswith(b"HTTP/1.1 200")
                wait_for(lambda: len([e for e in second.log() if e["path"] == "/asked"]) == 3)
                asked = [each for each in second.log() if each["path"] == "/asked"]
                assert [each["client"] for each in asked] == ["127.0.0.5", "127.0.0.6", "127.0.0.5"]
                # A check is the gateway's own connection.
                checks = [each for each in second.log() if each["path"] == "/healthy"]
                assert {each["client"] for each in checks} == {"127.0.0.1"}


def test_a_copy_of_a_request_is_announced_as_well() -> None:
    with endpoint() as upstream, endpoint() as copied:
        inner = f"""
listeners: {{ web: {{ port: 0, proxy_protocol: 127.0.0.1 }} }}
routes: [{{ path: /, to: "{copied.url}" }}]
"""
        with gateway(inner, threads=1) as second:
            outer = f"""
listeners: {{ db: {{ port: 0 }} }}
backends: {{ copies: {{ endpoints: ["127.0.0.1:{second.port}"], proxy_protocol: v1 }} }}
routes: [{{ path: /, to: "{upstream.url}", mirror: {{ to: copies }} }}]
"""
            with gateway(outer, threads=1) as running:
                got = first(running, b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", source="127.0.0.5")
                assert got.startswith(b"HTTP/1.1 200")
                assert second.log(1)[0]["client"] == "127.0.0.5"


def test_a_unix_socket_has_no_addresses_to_believe() -> None:
    with pytest.raises(ConfigError, match="leave `proxy_protocol` out"):
        loads("listeners: { l: { address: 'unix:/tmp/x', proxy_protocol: 10.0.0.0/8 } }\nroutes: []")
