# SPDX-License-Identifier: Apache-2.0
"""Several protocols on one port, told apart by their first bytes; a choice of protocols inside of TLS."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
from collections.abc import Iterator

import pytest

from tests.integration.tls.authority import Authority
from tidegate import ConfigError
from tidegate.config.load import loads
from tidegate.testing import RunningGateway, decide, gateway

from .kit import Serve, Server, client, echo, entry, named, read_all, wait_for
from .test_tls import UNKNOWN_NAME, over_tls

REQUEST = b"GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"


def behind(name: bytes) -> Serve:
    """Sends back what comes, behind its name."""

    def serve(connection: socket.socket) -> None:
        connection.sendall(name)
        echo(connection)

    return serve


@contextlib.contextmanager
def mixed(
    authority: Authority | None, *, first_bytes: str = "60s", rest: bool = True
) -> Iterator[RunningGateway]:
    """A gateway with one port for everything; where there is an authority, TLS ends there as well."""
    with contextlib.ExitStack() as stack:
        ssh = stack.enter_context(Server(behind(b"ssh:")))
        raw = stack.enter_context(Server(behind(b"raw:")))
        listener: dict[str, object] = {"port": 60_443}
        if authority is not None:
            listener = authority.pair("a.test").listener()
        listener |= {"protocol": "mixed", "timeouts": {"first_bytes": first_bytes}}
        routes = [
            {"name": "web", "path": "/", "to": {"respond": {"body": "web"}}},
            {
                "name": "ssh", "type": "tcp", "listeners": "db",
                "match": {"begins": ["SSH-", "hex:0001"]}, "to": f"tcp://{ssh.address}",
            },
        ]  # fmt: skip
        if rest:
            routes.append({"name": "rest", "type": "tcp", "listeners": "db", "to": f"tcp://{raw.address}"})
        if authority is not None:
            passed = stack.enter_context(Server(over_tls(authority.pair("b.test", file="passed"))))
            routes.append(
                {"type": "tls", "listeners": "db", "hosts": "b.test", "to": f"tcp://{passed.address}"}
            )
        text = json.dumps({"listeners": {"db": listener}, "routes": routes})
        yield stack.enter_context(gateway(text, threads=1))


def exactly(connection: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count and (piece := connection.recv(count - len(got))):
        got += piece
    return got


def answer(running: RunningGateway, *pieces: bytes, wanted: int = 0) -> bytes:
    """What comes back for pieces that are sent one by one: `wanted` bytes, or up to the end."""
    with client(running) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        if wanted:
            return exactly(connection, wanted)
        with contextlib.suppress(ConnectionResetError):
            return read_all(connection)
        return b""


def bytewise(text: bytes) -> list[bytes]:
    return [text[at : at + 1] for at in range(len(text))]


def test_requests_ssh_and_the_rest_share_a_port() -> None:
    with mixed(None) as running:
        for cut in (lambda text: [text], bytewise):
            assert answer(running, *cut(REQUEST)).endswith(b"\r\n\r\nweb")
            assert answer(running, *cut(b"SSH-2.0-x\r\n"), wanted=15) == b"ssh:SSH-2.0-x\r\n"
            assert answer(running, *cut(b"\x00\x01\x02\x03"), wanted=8) == b"ssh:\x00\x01\x02\x03"
            assert answer(running, *cut(b"EHLO a.test\r\n"), wanted=17) == b"raw:EHLO a.test\r\n"
        told = [str(each.get("route")) for each in running.log(8)]
        assert sorted(told) == ["rest"] * 2 + ["ssh"] * 4 + ["web"] * 2


def test_tls_is_passed_on_where_a_route_wants_it_and_else_ends_here(authority: Authority) -> None:
    with mixed(authority) as running:
        context = authority.client()
        with context.wrap_socket(client(running), server_hostname="b.test") as wrapped:
            assert wrapped.recv(6) == b"passed"
        with context.wrap_socket(client(running), server_hostname="a.test") as wrapped:
            wrapped.sendall(REQUEST)
            got = b"".join(iter(lambda: wrapped.recv(4096), b""))
            assert got.startswith(b"HTTP/1.1 200") and got.endswith(b"web")
        assert answer(running, b"SSH-2.0-x", wanted=13) == b"ssh:SSH-2.0-x"
        # Requests in the clear get what a listener with `protocol: https` tells them.
        assert answer(running, REQUEST).startswith(b"HTTP/1.1 400")
        with gateway_of_https(authority) as plain:
            assert answer(plain, REQUEST).split(b"\r\n")[0] == b"HTTP/1.1 400 Bad Request"


def gateway_of_https(authority: Authority) -> RunningGateway:
    listener = authority.pair("a.test").listener()
    text = {"listeners": {"db": listener}, "routes": [{"path": "/", "to": {"respond": 204}}]}
    return gateway(json.dumps(text), threads=1)


def test_a_hello_in_pieces_is_sorted_as_a_whole_one(authority: Authority) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = authority.client()
    wrapped = context.wrap_bio(incoming, outgoing, server_hostname="b.test")
    with contextlib.suppress(ssl.SSLWantReadError):
        wrapped.do_handshake()
    hello = outgoing.read()
    with mixed(authority) as running:
        pieces = [hello[:1], hello[1:3], hello[3:100], hello[100:]]
        assert answer(running, *pieces, wanted=1) == b"\x16"
        assert entry(running)["host"] == "b.test" and entry(running)["bytes_in"] == len(hello)
    with mixed(None, rest=False) as running:
        assert answer(running, *pieces, wanted=7) == UNKNOWN_NAME


def test_a_server_that_speaks_first_is_reached_after_the_time_for_first_bytes() -> None:
    with mixed(None, first_bytes="200ms") as running:
        assert answer(running, wanted=4) == b"raw:"
        # What might have become something else is passed on as well, once.
        assert answer(running, b"GE", wanted=6) == b"raw:GE"
        with client(running) as connection:
            assert exactly(connection, 4) == b"raw:"
            connection.sendall(REQUEST)
            assert exactly(connection, len(REQUEST)) == REQUEST
    with mixed(None, first_bytes="200ms", rest=False) as running:
        assert answer(running) == b""
        assert entry(running)["error"] == "destination_not_found"
        assert answer(running, REQUEST).endswith(b"web")


def test_who_leaves_before_it_says_anything_is_counted_out() -> None:
    with mixed(None) as running:
        for _ in range(3):
            client(running).close()
        with client(running):
            wait_for(lambda: running.status()["listeners"][0]["connections"] == 1)
        wait_for(lambda: running.status()["listeners"][0]["connections"] == 0)


def test_silent_connections_take_no_time_from_a_stop() -> None:
    with mixed(None) as running, client(running) as connection:
        assert answer(running, b"SSH-2.0-x", wanted=4) == b"ssh:"
        running.stop()
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""


def test_a_protocol_is_chosen_inside_of_tls_and_routes_go_by_it(authority: Authority) -> None:
    listener = authority.pair("a.test").listener(alpn=["imap", "xmpp"])
    with Server(named(b"imap")) as imap, Server(named(b"rest")) as rest:
        routes = [
            {"type": "tcp", "listeners": "db", "to": f"tcp://{rest.address}"},
            {"type": "tcp", "listeners": "db", "match": {"alpn": "imap"}, "to": f"tcp://{imap.address}"},
        ]
        text = json.dumps({"listeners": {"db": {**listener, "protocol": "tcp"}}, "routes": routes})
        with gateway(text, threads=1) as running:
            for offered, chosen, said in (
                (["xmpp", "imap"], "imap", b"imap"),
                (["xmpp"], "xmpp", b"rest"),
                ([], None, b"rest"),
            ):
                context = authority.client()
                if offered:
                    context.set_alpn_protocols(offered)
                with context.wrap_socket(client(running), server_hostname="a.test") as wrapped:
                    assert wrapped.selected_alpn_protocol() == chosen
                    assert wrapped.recv(4) == said
            context = authority.client()
            context.set_alpn_protocols(["pop3"])
            with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
                context.wrap_socket(client(running), server_hostname="a.test")


def test_explain_goes_by_what_is_spoken() -> None:
    text = """
listeners: { all: { port: 443, protocol: mixed } }
routes:
  - { name: web, path: /, to: { respond: 204 } }
  - { name: ssh, type: tcp, listeners: all, match: { begins: SSH- }, to: "tcp://10.0.0.1:22" }
  - { name: rest, type: tcp, listeners: all, to: "tcp://10.0.0.2:25" }
  - { name: passed, type: tls, listeners: all, hosts: b.test, to: "tcp://10.0.0.3:443" }
"""
    for url, more, route in (
        ("http://b.test/", {}, "web"),
        ("tcp://localhost", {}, "rest"),
        ("tcp://localhost", {"begins": "SSH-2.0"}, "ssh"),
        ("tls://b.test", {}, "passed"),
        ("https://b.test/", {}, "passed"),
        ("tls://c.test", {}, None),
    ):
        method = "GET" if url.startswith("http") else ""
        assert decide(text, {"method": method, "url": url, "listener": "all", **more}).get("route") == route


ALL = "type: tcp, listeners: l, to: 'tcp://a:1'"


@pytest.mark.parametrize(
    ("listener", "route", "says"),
    [
        ("protocol: mixed", "listeners: l, to: { respond: 204 }", "only requests are taken on it"),
        ("protocol: tcp", f"{ALL}, match: {{ begins: SSH- }}", "looked at by listeners with"),
        ("protocol: mixed", f"{ALL}, match: {{ begins: 'hex:0' }}", "`hex:0` is no start of a connection"),
        ("protocol: mixed", f"{ALL}, match: {{ begins: {'x' * 33} }}", "is no start of a connection"),
        (
            "protocol: mixed",
            "type: tls, listeners: l, to: 'tcp://a:1', match: { begins: SSH- }",
            "`begins` is for `type: tcp`",
        ),
        ("protocol: tcp, timeouts: { first_bytes: 1s }", ALL, "is for `protocol: mixed`"),
        ("protocol: mixed, tls: { dev: true, alpn: [imap] }", ALL, "write `protocol: tcp`"),
        (
            "protocol: tcp, tls: { dev: true, alpn: [imap] }",
            f"{ALL}, match: {{ alpn: pop3 }}",
            "not choose `pop3`",
        ),
        ("protocol: tcp, tls: { dev: true, alpn: ['a b'] }", ALL, "is no protocol's name"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_said(listener: str, route: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        loads(f"listeners: {{ l: {{ port: 1, {listener} }} }}\nroutes: [{{ {route} }}]")
    assert says in str(refused.value)
