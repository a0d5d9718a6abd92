# SPDX-License-Identifier: Apache-2.0
"""Connections of QUIC: by what their clients ask for, and to the same endpoint wherever these come from."""

from __future__ import annotations

import contextlib
import secrets
import select
import time
from collections.abc import Iterator

import pytest
from aioquic.quic.packet import QuicProtocolVersion

from tests.integration.http3.client import TIMEOUT, Client
from tests.integration.tls.authority import Authority
from tidegate import ConfigError
from tidegate.config.load import loads
from tidegate.testing import decide

from .kit import wait_for
from .quic import Backwards, Server, client, of_version, passing, said
from .test_udp import Answering, answer, is_silent, metric, sessions
from .test_udp import client as plain

Pair = tuple[Server, Server]


@pytest.fixture
def servers(authority: Authority) -> Iterator[Pair]:
    """One for a.test, and one for b.test."""
    with Server(authority, "a.test") as a, Server(authority, "b.test") as b:
        yield a, b


def by_host(servers: Pair, rest: str = "") -> str:
    """A route for each, and one more."""
    a, b = servers
    return f"""
  - {{ name: a, type: udp, listeners: game, hosts: a.test, to: "udp://{a.address}" }}
  - {{ name: b, type: udp, listeners: game, hosts: ["*.b.test", b.test], to: "udp://{b.address}" }}
  {rest}
"""


def rest(address: str, more: str = "") -> str:
    """A route for what the others do not take."""
    return f'- {{ name: rest, type: udp, listeners: game, to: "udp://{address}", {more} }}'


def test_connections_go_by_the_host_that_is_asked_for(authority: Authority, servers: Pair) -> None:
    with passing(by_host(servers)) as running:
        for name in ("a.test", "b.test", "A.test"):
            assert said(client(running, authority, name.lower())) == name.lower().encode()
        nobody = client(running, authority, "c.test")
        assert nobody.step(0.5) and nobody.shaken is None
        nobody.socket.close()
        told = running.log(1)[0]
        assert (told["error"], told["host"]) == ("destination_not_found", "c.test")
        assert sum(each.opened for each in servers) == 3


@pytest.mark.parametrize("kind", [Client, Backwards])
def test_a_hello_may_take_several_packets_in_any_order(
    authority: Authority, servers: Pair, kind: type[Client]
) -> None:
    with passing(by_host(servers)) as running:
        assert said(client(running, authority, "b.test", kind, quantum_readiness_test=True)) == b"b.test"
        assert servers[1].opened == 1 and sessions(running) == 1
        # The first packets are passed on as they came, and each once.
        entries = running.call("top", window_ms=1000)["l4_routes"]
        assert [each["name"] for each in entries] == ["b"]
        assert entries[0]["failed"] == 0


def test_version_2_is_read_as_well(authority: Authority, servers: Pair) -> None:
    with passing(by_host(servers)) as running:
        second = QuicProtocolVersion.VERSION_2
        connected = client(running, authority, "a.test", original_version=second, supported_versions=[second])
        assert said(connected) == b"a.test"


def test_a_retry_does_not_lead_astray(authority: Authority) -> None:
    with Server(authority, "a.test", retry=True) as a, Server(authority, "b.test", retry=True) as b:
        with passing(by_host((a, b)), threads=3) as running:
            connected = client(running, authority, "a.test")
            with contextlib.closing(connected):
                connected.shake()
                connected.move()
                assert connected.ask().body == b"a.test"
        assert (a.opened, b.opened) == (1, 0)


def test_routes_go_by_what_is_spoken_inside_and_by_whether_it_is_quic(authority: Authority) -> None:
    with (
        Server(authority, "a.test") as h3,
        Server(authority, "b.test") as other,
        Answering(b"plain ") as udp,
    ):
        routes = f"""
  - {{ type: udp, listeners: game, match: {{ alpn: h3 }}, to: "udp://{h3.address}" }}
  - {{ type: udp, listeners: game, match: {{ quic: true }}, to: "udp://{other.address}" }}
  {rest(udp.address)}
"""
        with passing(routes) as running:
            assert said(client(running, authority, "a.test")) == b"a.test"
            # Its server does not speak that, and says so.
            strange = client(running, authority, "b.test", alpn="doq")
            assert strange.wait_for_end() == 0x178
            strange.socket.close()
            with plain(running) as connection:
                assert answer(connection) == b"plain x"
            assert (h3.opened, other.opened) == (1, 0)


def test_a_client_that_moves_stays_at_its_endpoint(authority: Authority) -> None:
    with Server(authority, "a.test") as a, Server(authority, "a.test") as b:
        routes = f"""
  - {{ type: udp, listeners: game, hosts: a.test, to: both }}
backends: {{ both: {{ endpoints: ["{a.address}", "{b.address}"], balancing: round_robin }} }}
"""
        with passing(routes, threads=4) as running:
            # By another address the balancer would choose another endpoint.
            connected = [client(running, authority, "a.test").shake() for _ in range(2)]
            assert (a.opened, b.opened) == (1, 1)
            streams = [each.send("/", method="POST", ends=False) for each in connected]
            for number in range(8):
                for each, stream in zip(connected, streams, strict=True):
                    each.move(f"127.0.0.{number + 2}")
                    each.upload(stream, b"%d" % number, ends=False)
                    while not each.answers[stream].body.endswith(b"%d" % number):
                        assert each.step(), each.terminated
            for each, stream in zip(connected, streams, strict=True):
                each.upload(stream, b".", ends=True)
                assert each.wait(stream)[0].body == b"a.test01234567."
            assert (a.opened, b.opened, a.closed, b.closed) == (1, 1, 0, 0)
            assert sessions(running) > 2
            for each in connected:
                each.close()


def test_one_who_has_only_seen_an_identifier_takes_nothing_over(authority: Authority, servers: Pair) -> None:
    with passing(by_host(servers)) as running:
        connected = client(running, authority, "a.test")
        with contextlib.closing(connected), plain(running, "127.0.0.9") as thief:
            connected.shake()
            stream = connected.send("/", method="POST", ends=False)
            while not connected.answers[stream].body:
                assert connected.step()
            seen = connected.quic._peer_cid.cid
            thief.send(b"\x40" + seen + secrets.token_bytes(40))
            wait_for(lambda: sessions(running) == 2)
            connected.upload(stream, b"still here", ends=False)
            while not connected.answers[stream].body.endswith(b"still here"):
                assert connected.step()
            thief.settimeout(0.2)
            with pytest.raises(TimeoutError):
                thief.recv(2048)


def test_connections_of_one_socket_are_told_apart(authority: Authority, servers: Pair) -> None:
    with passing(by_host(servers)) as running:
        one, other = client(running, authority, "a.test"), client(running, authority, "b.test")
        # What the second has sent by its own socket is lost: it sends it again by that of the first.
        other.socket.close()
        other.socket = one.socket
        limit = time.monotonic() + TIMEOUT

        def ids(of: Client) -> list[bytes]:
            return [each.cid for each in of.quic._host_cids]

        def pump() -> None:
            now = time.monotonic()
            assert now < limit
            ready, _, _ = select.select([one.socket], [], [], 0.05)
            if ready:
                data = one.socket.recv(65536)
                id_ = data[6:14] if data[0] & 0x80 else data[1:9]
                known = [each for each in (one, other) if id_ in ids(each)]
                known[0].quic.receive_datagram(data, one.peer, now=time.monotonic())
            for each in (one, other):
                timer = each.quic.get_timer()
                if timer is not None and time.monotonic() >= timer:
                    each.quic.handle_timer(now=time.monotonic())
                while (event := each.quic.next_event()) is not None:
                    each._note(event)
                each.flush()

        while not (one.shaken and other.shaken):
            pump()
        streams = [each.shake().send("/") for each in (one, other)]
        while not (one.answers[streams[0]].ended and other.answers[streams[1]].ended):
            pump()
        assert one.answers[streams[0]].body == b"a.test"
        assert other.answers[streams[1]].body == b"b.test"
        one.close()


def test_what_cannot_be_read_goes_where_nothing_is_asked_for(authority: Authority, servers: Pair) -> None:
    garbage = [
        b"x",
        b"\x40" + secrets.token_bytes(30),
        b"\xff",
        b"\xc0\0\0\0\1\xff" + secrets.token_bytes(30),
        of_version(1),
        of_version(1, kind=2),
        of_version(0x0A1A2A3A),
        of_version(0),
    ]
    with Answering(b">") as udp:
        with passing(by_host(servers, rest(udp.address))) as running:
            for data in garbage:
                with plain(running) as connection:
                    assert answer(connection, data) == b">" + data
            assert said(client(running, authority, "a.test")) == b"a.test"
        with passing(by_host(servers)) as running:
            for data in garbage:
                with plain(running) as connection:
                    connection.send(data)
            assert said(client(running, authority, "b.test")) == b"b.test"
            told = running.log(len(garbage))
            assert {each["error"] for each in told[: len(garbage)]} == {"destination_not_found"}
    with passing(by_host(servers, rest(servers[0].address))) as running, plain(running) as connection:
        # It speaks other versions, which its server tells.
        told_by_server = answer(connection, of_version(0x0A1A2A3A))
        assert told_by_server[1:5] == b"\0\0\0\0"


def test_what_never_becomes_whole_waits_for_a_short_time_and_makes_room(
    authority: Authority, servers: Pair
) -> None:
    with passing(by_host(servers)) as running, plain(running) as flood:
        failed = 'tidegate_tls_handshakes_failed_total{reason="timeout"}'
        early = of_version(1, kind=1)
        flood.send(early)
        wait_for(lambda: metric(running, failed) == 1)
        # More of them than there is room for: each is begun with data, whose hello never comes.
        sent = 0
        full = 'tidegate_connections_refused_total{reason="limit"}'
        limit = time.monotonic() + TIMEOUT
        while metric(running, full) < 10 and time.monotonic() < limit:
            for _ in range(200):
                flood.send(of_version(1, kind=1, size=1100))
                sent += 1
            assert sessions(running) == 0
        assert metric(running, full) >= 10
        assert said(client(running, authority, "a.test", quantum_readiness_test=True)) == b"a.test"


def test_clients_that_are_not_admitted_get_nothing(authority: Authority, servers: Pair) -> None:
    with passing(by_host(servers), listener="clients: { deny: [127.0.0.9] }") as running:
        refused = client(running, authority, "a.test", source="127.0.0.9")
        assert refused.step(0.5) and refused.shaken is None
        refused.socket.close()
        assert said(client(running, authority, "a.test", source="127.0.0.2")) == b"a.test"
        with plain(running, "127.0.0.9") as connection:
            assert is_silent(connection, of_version(1))


def test_explain_tells_where_a_connection_goes() -> None:
    text = """
listeners: { web: { port: 443, protocol: udp } }
routes:
  - { name: shop, type: udp, listeners: web, hosts: "*.shop.test", to: "udp://10.0.0.1:443" }
  - { name: quic, type: udp, listeners: web, match: { quic: true }, to: "udp://10.0.0.2:443" }
  - { name: rest, type: udp, listeners: web, to: "udp://10.0.0.3:443" }
"""
    for url, route in (
        ("quic://www.shop.test", "shop"),
        ("quic://other.test:443", "quic"),
        ("quic://192.0.2.1", "quic"),
        ("udp://www.shop.test:443", "rest"),
    ):
        told = decide(text, {"method": "", "url": url, "listener": "web"})
        assert told["route"] == route, url


ALL = "type: udp, listeners: l, to: 'udp://a:1'"


@pytest.mark.parametrize(
    ("protocol", "route", "says"),
    [
        ("udp", f"{ALL}, hosts: a.test, responses: 1", "nobody knows how many a connection of QUIC has"),
        ("udp", f"{ALL}, match: {{ quic: true }}, responses: 0", "leave it out"),
        ("tcp", "type: tcp, listeners: l, to: 'tcp://a:1', match: { quic: true }", "is for `type: udp`"),
        ("udp", f"{ALL}, hosts: '10.0.0.1/8'", "hosts"),
    ],
)
def test_what_does_not_fit_together_is_said(protocol: str, route: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        loads(f"listeners: {{ l: {{ port: 1, protocol: {protocol} }} }}\nroutes: [{{ {route} }}]")
    assert says in str(refused.value)
