# SPDX-License-Identifier: Apache-2.0
"""Datagrams: what is sent on one side comes out on the other, by sessions that stay where they are."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from tests.integration.bad_days.site import Site
from tests.ports import free_port
from tidegate import ConfigError
from tidegate.config.load import loads
from tidegate.testing import RunningGateway, decide, gateway

from .kit import TIMEOUT, wait_for

UDP_SEGMENT = 103
"""Of linux/udp.h: the length of each datagram that one send is cut into."""


class Answering:
    """A server of datagrams that sends back what comes, behind its name, `times` times."""

    def __init__(self, name: bytes = b"", times: int = 1, port: int = 0, host: str = "127.0.0.1") -> None:
        self._name, self._times = name, times
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.bind((host, port))
        self.port = self._socket.getsockname()[1]
        self._host = host
        self.address = f"{host}:{self.port}"
        self.peers: list[tuple[str, int]] = []
        self._is_over = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            data, peer = self._socket.recvfrom(65536)
            if self._is_over:
                return
            self.peers.append(peer)
            for _ in range(self._times):
                self._socket.sendto(self._name + data, peer)

    def close(self) -> None:
        """Nobody is at the port any more."""
        self._is_over = True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waking:
            waking.sendto(b"", (self._host, self.port))
        self._thread.join(TIMEOUT)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._is_over:
            self.close()


def passing(
    *servers: Answering | str, listener: str = "", route: str = "", backend: str = ""
) -> RunningGateway:
    """A gateway with one listener of UDP, one backend over `servers` and one route."""
    listed = ", ".join(f'"{each if isinstance(each, str) else each.address}"' for each in servers)
    text = f"""
gateway: {{ admin: {{ port: 0 }} }}
listeners: {{ game: {{ port: 0, protocol: udp, {listener} }} }}
backends: {{ b: {{ endpoints: [{listed}], {backend} }} }}
routes:
  - {{ name: r, type: udp, listeners: game, to: b, {route} }}
"""
    return gateway(text, threads=1)


@contextlib.contextmanager
def client(
    running: RunningGateway | int, source: str = "127.0.0.1", to: str = "127.0.0.1"
) -> Iterator[socket.socket]:
    """A socket that is connected to the gateway, from an address of loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        own.bind((source, 0))
        own.connect((to, running if isinstance(running, int) else running.ports["game"]))
        own.settimeout(TIMEOUT)
        yield own


def answer(connection: socket.socket, data: bytes = b"x") -> bytes:
    connection.send(data)
    return connection.recv(65536)


def is_silent(connection: socket.socket, data: bytes = b"x") -> bool:
    """Whether nothing comes back; what comes late is waited for a little."""
    connection.send(data)
    connection.settimeout(0.3)
    try:
        connection.recv(65536)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(TIMEOUT)
    return False


def sessions(running: RunningGateway) -> int:
    [game] = [each for each in running.status()["listeners"] if each["name"] == "game"]
    assert game["protocol"] == "udp"
    return int(game["connections"])


def metric(running: RunningGateway, name: str) -> float:
    """A line of `/metrics`."""
    with urllib.request.urlopen(
        f"http://127.0.0.1:{running.ports['admin']}/metrics", timeout=TIMEOUT
    ) as page:
        lines = page.read().decode().splitlines()
    return float(next((line.rsplit(" ", 1)[1] for line in lines if line.startswith(name)), 0))


def test_datagrams_go_both_ways_and_the_log_tells_of_the_session() -> None:
    with Answering(b">") as server, passing(server, route="timeouts: { idle: 3s }") as running:
        with client(running) as one, client(running) as other:
            for data in (b"one", b"", b"x" * 40_000):
                assert answer(one, data) == b">" + data
            assert answer(other) == b">x"
            assert sessions(running) == 2
        assert len(set(server.peers)) == 2
        told = running.log(2)
        assert {each["protocol"] for each in told} == {"UDP"}
        [first] = [each for each in told if each["bytes_in"] > 1]
        assert (first["listener"], first["route"], first["backend"]) == ("game", "r", "b")
        assert first["endpoint"] == server.address and first["client"] == "127.0.0.1"
        assert (first["bytes_in"], first["bytes_out"], first["ended"]) == (40_003, 40_006, "idle")
        assert "error" not in first
        wait_for(lambda: sessions(running) == 0)
        [row] = running.call("top", window_ms=1000)["l4_routes"]
        assert (row["name"], row["connections"], row["open"], row["bytes_in"]) == ("r", 2, 0, 40_004)
        assert metric(running, 'tidegate_l4_connections_total{route="r"}') == 2


def test_trains_of_datagrams_keep_their_bounds_and_their_order() -> None:
    with Answering() as server, passing(server) as running, client(running) as connection:
        assert answer(connection) == b"x"
        wanted = []
        for number in range(40):
            datagrams = [bytes([number, each]) * 500 for each in range(10)]
            datagrams[-1] = datagrams[-1][:7]
            segment = (1000).to_bytes(2, "little")
            connection.sendmsg([b"".join(datagrams)], [(socket.SOL_UDP, UDP_SEGMENT, segment)])
            wanted += datagrams
            got = [connection.recv(65536) for _ in range(10)]
            assert got == datagrams
        assert len(server.peers) == 1 + len(wanted)


def test_sessions_are_balanced_and_stay() -> None:
    with Answering(b"a") as a, Answering(b"b") as b:
        with (
            passing(a, b, backend="balancing: round_robin") as running,
            client(running) as one,
            client(running) as other,
        ):
            first, second = answer(one), answer(other)
            assert {first, second} == {b"ax", b"bx"}
            for _ in range(5):
                assert (answer(one), answer(other)) == (first, second)
            [told] = running.status()["backends"]
            assert [each["in_flight"] for each in told["endpoints"]] == [1, 1]
        with passing(a, b, backend="balancing: round_robin, affinity: address") as running:
            for source in ("127.0.0.2", "127.0.0.3"):
                seen = set()
                for _ in range(4):
                    with client(running, source) as connection:
                        seen.add(answer(connection))
                assert len(seen) == 1


def test_addresses_are_admitted_and_matched() -> None:
    with Answering(b"a") as a, Answering(b"b") as b:
        text = f"""
listeners: {{ game: {{ port: 0, protocol: udp, clients: {{ allow: [127.0.0.0/24], deny: [127.0.0.9] }} }} }}
routes:
  - {{ type: udp, listeners: game, match: {{ clients: 127.0.0.2 }}, to: "udp://{a.address}" }}
  - {{ type: udp, listeners: game, match: {{ clients: 127.0.0.3 }}, to: "udp://{b.address}" }}
"""
        with gateway(text, threads=1) as running:
            for source, said in (("127.0.0.2", b"ax"), ("127.0.0.3", b"bx")):
                with client(running, source) as connection:
                    assert answer(connection) == said
            for source in ("127.0.0.9", "127.0.1.2", "127.0.0.4"):
                with client(running, source) as connection:
                    assert is_silent(connection)
            # The last was admitted, and no route took it.
            assert running.log(1)[0]["error"] == "destination_not_found"
        assert len(a.peers) == len(b.peers) == 1


@pytest.mark.parametrize("limit", ["connections: 2", "connections_per_address: 2"])
def test_sessions_beyond_a_limit_are_refused_and_others_stay(limit: str) -> None:
    listener, route = f"limits: {{ {limit} }}", "timeouts: { idle: 3s }"
    with (
        Answering() as server,
        passing(server, listener=listener, route=route) as running,
        client(running) as one,
        client(running) as other,
        client(running) as third,
    ):
        assert answer(one) == answer(other) == b"x"
        assert is_silent(third)
        assert running.log(1)[0]["error"] == "connection_limit_reached"
        if "address" in limit:
            with client(running, "127.0.0.2") as fourth:
                assert answer(fourth) == b"x"
        wait_for(lambda: sessions(running) == 0)
        assert answer(third) == b"x"


def test_new_sessions_have_a_rate() -> None:
    listener = "limits: { connection_rate: 1, connection_burst: 2 }"
    with (
        Answering() as server,
        passing(server, listener=listener) as running,
        contextlib.ExitStack() as stack,
    ):
        clients = [stack.enter_context(client(running)) for _ in range(20)]
        for connection in clients:
            connection.send(b"x")
        wait_for(lambda: metric(running, 'tidegate_connections_refused_total{reason="rate"}') > 10)
        assert 2 <= len(server.peers) < 10


def test_an_endpoint_that_nobody_is_at_fails_and_the_next_session_goes_elsewhere() -> None:
    gone = Answering()
    gone.close()
    backend = "balancing: round_robin, passive_health: { failures: 1, exclude_for: 60s }"
    with Answering(b"a") as a, passing(gone, a, backend=backend) as running, client(running) as connection:
        said = b""
        for _ in range(20):
            connection.send(b"x")
            connection.settimeout(0.5)
            with contextlib.suppress(TimeoutError):
                said = connection.recv(64)
                break
        assert said == b"ax"
        if len(running.log()):
            told = running.log(1)[0]
            assert (told["ended"], told["error"]) == ("endpoint_reset", "connection_refused")
            assert told["endpoint"] == gone.address
        connection.settimeout(TIMEOUT)
        for _ in range(4):
            with client(running) as another:
                assert answer(another) == b"ax"


def test_a_session_may_be_over_with_its_answers() -> None:
    with Answering(b"a", times=2) as a, Answering(b"b", times=2) as b:
        backend = "balancing: round_robin"
        with passing(a, b, backend=backend, route="responses: 2") as running, client(running) as connection:
            for _ in range(4):
                first, second = answer(connection), connection.recv(64)
                assert first == second
                wait_for(lambda: sessions(running) == 0)
            assert len(a.peers) == len(b.peers) == 2
            assert {each["ended"] for each in running.log(4)} == {"closed"}
    with (
        Answering(b"a", times=0) as a,
        passing(a, route="responses: 0") as running,
        client(running) as connection,
    ):
        connection.send(b"x")
        assert running.log(1)[0]["ended"] == "closed"
        assert a.peers and sessions(running) == 0


def test_a_session_ends_after_its_life() -> None:
    with (
        Answering() as server,
        passing(server, route="timeouts: { life: 500ms }") as running,
        client(running) as own,
    ):
        own.settimeout(0.2)
        while not running.log():
            own.send(b"x")
            # What is on its way when the session ends is lost.
            with contextlib.suppress(TimeoutError):
                assert own.recv(64) == b"x"
        own.settimeout(TIMEOUT)
        assert running.log(1)[0]["ended"] == "life"
        assert answer(own) == b"x"
        assert len(set(server.peers)) >= 2


def test_sessions_survive_a_reload_that_takes_their_route_away() -> None:
    with Answering(b"a") as a, Answering(b"b") as b:
        text = "listeners: {{ game: {{ port: 0, protocol: udp }} }}\n"
        text += "routes: [{{ type: udp, listeners: game, to: 'udp://{}' }}]"
        with (
            gateway(text.format(a.address), threads=1) as running,
            client(running) as one,
            client(running) as other,
        ):
            assert answer(one) == b"ax"
            running.reload(text.format(b.address))
            assert answer(one) == b"ax"
            assert answer(other) == b"bx"


def test_answers_come_from_the_address_that_was_asked_and_a_stop_does_not_wait(tmp_path: Path) -> None:
    port = free_port()
    with Answering() as server:
        configuration = {
            "gateway": {"threads": 3},
            "listeners": {"game": {"address": "0.0.0.0", "port": port, "protocol": "udp"}},
            "routes": [{"type": "udp", "listeners": "game", "to": f"udp://{server.address}"}],
        }
        with Site(tmp_path, configuration) as site, contextlib.ExitStack() as stack:
            clients = [stack.enter_context(client(port, to=f"127.0.0.{n}")) for n in range(1, 20)]
            # A connected socket takes answers from that address alone.
            for _ in range(3):
                for connection in clients:
                    assert answer(connection) == b"x"
            assert len(set(server.peers)) == len(clients)
            os.kill(site.supervisor, signal.SIGTERM)
            wait_for(lambda: is_free(port))
            # Told to end once more just before its end, it would end by that.
            assert site.process is not None and site.process.wait(TIMEOUT) == 0


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def test_tcp_and_udp_share_a_port_and_explain_tells_them_apart() -> None:
    text = """
listeners: { t: { port: 53, protocol: tcp }, u: { port: 53, protocol: udp } }
routes:
  - { name: streams, type: tcp, listeners: t, to: "tcp://10.0.0.1:53" }
  - { name: rest, type: udp, listeners: u, to: "udp://10.0.0.1:53" }
  - { name: own, type: udp, listeners: u, match: { clients: 10.0.0.0/8 }, to: "udp://10.0.0.2:53" }
"""
    loads(text)
    for client_address, route in (("192.0.2.1", "rest"), ("10.1.1.1", "own")):
        told = decide(
            text, {"method": "", "url": "udp://localhost:53", "client": client_address, "listener": "u"}
        )
        assert told["route"] == route and told["timeouts"]["idle"] == 60_000


ALL = "type: udp, listeners: l, to: 'udp://a:1'"


@pytest.mark.parametrize(
    ("listener", "route", "says"),
    [
        ("protocol: udp, tls: dev", ALL, "leave `tls` out"),
        ("protocol: udp, proxy_protocol: 10.0.0.1", ALL, "leave `proxy_protocol` out"),
        ("protocol: udp, timeouts: { handshake: 1s }", ALL, "have no handshake"),
        ("protocol: udp", "type: udp, listeners: l, to: 'tcp://a:1'", "write `udp://host:port`"),
        ("protocol: tcp", "type: tcp, listeners: l, to: 'udp://a:1'", "write `tcp://host:port`"),
        ("protocol: tcp", ALL, "this route is for `udp`"),
        ("protocol: mixed", ALL, "this route is for `udp`"),
        ("protocol: udp", "type: udp, listeners: l, to: b", "has `tls`, which datagrams have not"),
        ("protocol: udp", "type: udp, listeners: l, to: c", "at a Unix socket"),
    ],
)
def test_what_does_not_fit_together_is_said(listener: str, route: str, says: str) -> None:
    backends = "{ b: { endpoints: ['a:1'], tls: true }, c: { endpoints: ['unix:/x'] } }"
    with pytest.raises(ConfigError) as refused:
        loads(f"listeners: {{ l: {{ port: 1, {listener} }} }}\nbackends: {backends}\nroutes: [{{ {route} }}]")
    assert says in str(refused.value)
