# SPDX-License-Identifier: Apache-2.0
"""TLS on listeners of layer 4: ended here, or passed on unread by the host that the client asks for."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
from collections.abc import Iterator

import pytest

from tests.integration.tls.authority import Authority, Pair
from tidegate import ConfigError
from tidegate.config.load import loads
from tidegate.testing import RunningGateway, decide, gateway, wait_until

from .kit import TIMEOUT, Serve, Server, client, echo, entry, read_all

UNKNOWN_NAME = bytes([21, 3, 1, 0, 2, 2, 112])


def server_context(pair: Pair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    return context


def over_tls(pair: Pair) -> Serve:
    """Shakes hands, says the name of its certificate's file, and sends back what comes."""
    context = server_context(pair)

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(ssl.SSLError), context.wrap_socket(connection, server_side=True) as wrapped:
            wrapped.sendall(pair.cert.stem.encode())
            while piece := wrapped.recv(65536):
                wrapped.sendall(piece)

    return serve


@contextlib.contextmanager
def passing(authority: Authority) -> Iterator[RunningGateway]:
    """A gateway before four servers, by host."""
    pairs = {
        "exact": authority.pair("shop.test", file="exact"),
        "wild": authority.pair("*.shop.test", file="wild"),
        "acme": authority.pair("shop.test", file="acme"),
        "rest": authority.pair("other.test", file="rest"),
    }
    with contextlib.ExitStack() as stack:
        at = {name: stack.enter_context(Server(over_tls(pair))).address for name, pair in pairs.items()}
        routes = [
            {"type": "tls", "listeners": "db", "to": f"tcp://{at['rest']}"},
            {"type": "tls", "listeners": "db", "hosts": "*.shop.test", "to": f"tcp://{at['wild']}"},
            {"type": "tls", "listeners": "db", "hosts": ["shop.test"], "to": f"tcp://{at['exact']}"},
            {
                "name": "acme", "type": "tls", "listeners": "db", "hosts": "shop.test",
                "match": {"alpn": "acme-tls/1"}, "to": f"tcp://{at['acme']}",
            },
        ]  # fmt: skip
        text = {"listeners": {"db": {"port": 60443, "protocol": "tls"}}, "routes": routes}
        yield stack.enter_context(gateway(json.dumps(text), threads=1))


def said(running: RunningGateway, context: ssl.SSLContext, name: str | None) -> bytes:
    """What the server that the connection gets to says first."""
    with context.wrap_socket(client(running), server_hostname=name) as wrapped:
        return wrapped.recv(64)


def test_tls_is_passed_on_by_the_host_that_is_asked_for(authority: Authority) -> None:
    with passing(authority) as running:
        context = authority.client()
        assert said(running, context, "shop.test") == b"exact"
        assert said(running, context, "SHOP.test") == b"exact"
        assert said(running, context, "a.shop.test") == b"wild"
        assert said(running, context, "other.test") == b"rest"
        context.check_hostname = False
        assert said(running, context, "b.a.shop.test") == b"wild"
        assert said(running, context, "elsewhere.test") == b"rest"
        assert said(running, context, None) == b"rest"
        asking = authority.client()
        asking.set_alpn_protocols(["acme-tls/1"])
        assert said(running, asking, "shop.test") == b"acme"
        told = [each for each in running.log(8) if each["route"] == "acme"]
        assert [each["host"] for each in told] == ["shop.test"]
        assert running.log(8)[0]["protocol"] == "TCP"


@pytest.mark.parametrize(("record", "piece"), [(1, 65536), (40, 7), (16384, 1)])
def test_a_hello_may_be_cut_into_records_and_packets(authority: Authority, record: int, piece: int) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = authority.client()
    context.check_hostname = False
    wrapped = context.wrap_bio(incoming, outgoing, server_hostname="shop.test")
    with contextlib.suppress(ssl.SSLWantReadError):
        wrapped.do_handshake()
    message = outgoing.read()[5:]
    cut = b"".join(
        bytes([22, 3, 1]) + len(part).to_bytes(2, "big") + part
        for part in (message[at : at + record] for at in range(0, len(message), record))
    )
    with passing(authority) as running, client(running) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(cut), piece):
            connection.sendall(cut[at : at + piece])
        first = connection.recv(3)
        # What the server made of it is its own affair: it has seen every byte.
        assert first[:1] in (b"\x16", b"\x15")
        if record > 1:
            assert first[:1] == b"\x16"
        connection.close()
        assert entry(running)["host"] == "shop.test"
        assert entry(running)["bytes_in"] >= len(cut)


def test_what_is_no_hello_or_asks_for_nobody_is_refused(authority: Authority) -> None:
    with passing(authority) as running:
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", bytes([22, 3, 1, 0, 0]), b"\x00" * 100):
            with client(running) as connection:
                connection.sendall(garbage)
                with contextlib.suppress(ConnectionResetError):
                    assert read_all(connection) == b""
        errors = {each["error"] for each in running.log(3)}
        assert errors == {"tls_handshake_error"}
    text = """
listeners: { db: { port: 0, protocol: tls, timeouts: { handshake: 300ms } } }
routes: [{ type: tls, listeners: db, hosts: shop.test, to: "tcp://127.0.0.1:1" }]
"""
    with gateway(text, threads=1) as running:
        context = authority.client()
        with pytest.raises(ssl.SSLError) as refused, client(running) as connection:
            context.wrap_socket(connection, server_hostname="other.test")
        assert "UNRECOGNIZED_NAME" in str(refused.value).upper().replace(" ", "_")
        with client(running) as connection:
            connection.sendall(bytes([22, 3, 1]))
            assert read_all(connection) == b""
        assert wait_until(lambda: len(running.log()) >= 2, TIMEOUT)
        assert {each.get("error") for each in running.log(2)} == {
            "destination_not_found",
            "tls_handshake_error",
        }


def test_tls_ends_here_for_any_protocol(authority: Authority) -> None:
    pair = authority.pair("localhost")
    with Server(echo) as server:
        listener = {**pair.listener(), "protocol": "tcp"}
        route = {"name": "r", "type": "tcp", "listeners": "db", "to": f"tcp://{server.address}"}
        text = json.dumps({"listeners": {"db": listener}, "routes": [route]})
        with gateway(text, threads=1) as running:
            context = authority.client()
            context.set_alpn_protocols(["postgresql"])
            body = bytes(range(256)) * 4096
            with context.wrap_socket(client(running), server_hostname="localhost") as wrapped:
                for _ in range(3):
                    wrapped.sendall(b"hello")
                    assert wrapped.recv(5) == b"hello"
                for at in range(0, len(body), 65536):
                    wrapped.sendall(body[at : at + 65536])
                    got = b""
                    while len(got) < 65536:
                        got += wrapped.recv(65536)
                    assert got == body[at : at + 65536]
                wrapped.unwrap()
            told = entry(running)
            assert (told["tls"], told["ended"], told["bytes_in"]) == ("TLSv1.3", "closed", len(body) + 15)
            with client(running) as plain:
                plain.sendall(b"no TLS at all")
                with contextlib.suppress(ConnectionResetError):
                    read_all(plain)
            assert len(server.connections) == 1


def test_explain_goes_by_the_host() -> None:
    text = """
listeners: { db: { port: 443, protocol: tls } }
routes:
  - { name: a, type: tls, listeners: db, hosts: a.test, to: "tcp://10.0.0.1:443" }
  - { name: rest, type: tls, listeners: db, hosts: "*.test", to: "tcp://10.0.0.2:443" }
"""
    for url, route in (("tls://a.test", "a"), ("tls://b.test:443", "rest"), ("tls://10.0.0.9", None)):
        told = decide(text, {"method": "", "url": url, "listener": "db"})
        assert told.get("route") == route


@pytest.mark.parametrize(
    ("listener", "route", "says"),
    [
        ("protocol: tls, tls: dev", "type: tls, listeners: l, to: 'tcp://a:1'", "write `protocol: tcp`"),
        (
            "protocol: tcp, tls: { dev: true, client_certificates: [{ hosts: a.test, ca: ca.pem }] }",
            "type: tcp, listeners: l, to: 'tcp://a:1'",
            "leave `hosts` out",
        ),
        ("protocol: tls", "type: tcp, listeners: l, to: 'tcp://a:1'", "this route is for `tcp`"),
        ("protocol: tcp", "type: tls, listeners: l, to: 'tcp://a:1'", "this route is for `tls`"),
        (
            "protocol: tcp",
            "type: tcp, listeners: l, match: { alpn: h2 }, to: 'tcp://a:1'",
            "`type: tls` on the route",
        ),
        ("protocol: tcp", "type: tcp, listeners: l, hosts: a.test, to: 'tcp://a:1'", "write `type: tls`"),
    ],
)
def test_what_does_not_fit_together_is_said(listener: str, route: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        loads(f"listeners: {{ l: {{ port: 1, {listener} }} }}\nroutes: [{{ {route} }}]")
    assert says in str(refused.value)
