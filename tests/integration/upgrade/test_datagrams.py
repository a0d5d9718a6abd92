# SPDX-License-Identifier: Apache-2.0
"""Sessions of UDP go on while a new version takes over, and new ones begin there."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from tests.integration.l4 import quic
from tests.integration.l4.test_udp import Answering, client
from tests.integration.supervised import DEADLINE
from tests.integration.tls.authority import Authority
from tidegate.testing import wait_until

from .packages import NEW, OLD, finished, upgraded

TEXT = """
gateway: { threads: 2, graceful_stop: 60s }
listeners: { game: { address: 127.0.0.1, port: PORT, protocol: udp } }
backends: { b: { endpoints: [ENDPOINTS], balancing: round_robin } }
routes: [{ type: udp, listeners: game, to: b, timeouts: { idle: IDLE } }]
"""


def text(*servers: Answering, idle: str = "5s") -> str:
    listed = ", ".join(f'"{each.address}"' for each in servers)
    return TEXT.replace("ENDPOINTS", listed).replace("IDLE", idle)


def echoed(own: socket.socket, said: bytes) -> bytes:
    own.send(said)
    return own.recv(65_536)


def test_a_session_keeps_its_endpoint_and_new_ones_begin_in_the_new_node(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Answering(name)) for name in (b"a", b"b", b"c")]
        gateway = stack.enter_context(upgraded(tmp_path, text(*servers)))
        clients = [stack.enter_context(client(gateway.port)) for _ in range(9)]
        own = [echoed(each, b"") for each in clients]
        assert set(own) == {b"a", b"b", b"c"}
        ports = [sorted(set(server.peers)) for server in servers]
        before, _ = gateway.node()
        gateway.packages.install(NEW)
        command = gateway.begin_upgrade()
        over = threading.Event()
        wrong: list[bytes] = []

        def ask() -> None:
            # Nothing is lost, before, at or after the moment that the other node takes over.
            asked = 0
            while not over.is_set():
                for each, name in zip(clients, own, strict=True):
                    answer = echoed(each, b"%d" % asked)
                    wrong.extend([answer] if answer != name + b"%d" % asked else [])
                asked += 1

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            assert wait_until(lambda: gateway.drains(before), 2 * DEADLINE), gateway.log()
        finally:
            over.set()
            asking.join(DEADLINE)
        assert not asking.is_alive()
        assert not wrong
        draining = gateway.wait_draining()
        assert draining["connections"] == len(clients)
        for turn in range(20):
            for each, name in zip(clients, own, strict=True):
                assert echoed(each, b"%d" % turn) == name + b"%d" % turn
        # The same sessions: endpoints see the same ports.
        assert [sorted(set(server.peers)) for server in servers] == ports
        fresh = [stack.enter_context(client(gateway.port)) for _ in range(6)]
        named = [echoed(each, b"") for each in fresh]
        assert set(named) == {b"a", b"b", b"c"}
        assert gateway.wait_draining()["connections"] == len(clients)
        for turn in range(20):
            for each, name in zip(fresh, named, strict=True):
                assert echoed(each, b"%d" % turn) == name + b"%d" % turn
        # They are over when they are silent for as long as ever, and then so is the old node.
        record = finished(command)
        assert [each["cut"] for each in record["drained"]] == [0]
        assert record["drained"][0]["left_s"] > 30
        for each in (*clients, *fresh):
            assert echoed(each, b"more").endswith(b"more")


def test_three_nodes_have_sessions_at_a_time(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Answering(name)) for name in (b"a", b"b")]
        gateway = stack.enter_context(upgraded(tmp_path, text(*servers, idle="20s")))
        clients: list[tuple[socket.socket, bytes]] = []

        def begin() -> None:
            for _ in range(4):
                own = stack.enter_context(client(gateway.port))
                clients.append((own, echoed(own, b"")))

        def go_on() -> None:
            for own, name in clients:
                assert echoed(own, b"again") == name + b"again"

        def drains(pid: int) -> bool:
            go_on()
            return gateway.drains(pid)

        begin()
        commands = []
        for version in (NEW, OLD):
            before, _ = gateway.node()
            gateway.packages.install(version)
            commands.append(gateway.begin_upgrade())
            assert wait_until(partial(drains, before), 2 * DEADLINE), gateway.log()
            begin()
        ports = [sorted(set(server.peers)) for server in servers]
        assert sum(map(len, ports)) == len(clients)
        for _ in range(5):
            go_on()
        assert [sorted(set(server.peers)) for server in servers] == ports
        draining = gateway.status()["control"]["draining"]
        assert [each["connections"] for each in draining] == [4, 4]
        for command in commands:
            command.kill()
            command.communicate()
        assert gateway.stop() == 0


def test_a_stop_ends_the_sessions_of_a_node_that_drains(tmp_path: Path) -> None:
    with (
        Answering() as server,
        upgraded(tmp_path, text(server, idle="50s")) as gateway,
        client(gateway.port) as own,
    ):
        assert echoed(own, b"a") == b"a"
        gateway.packages.install(NEW)
        command = gateway.begin_upgrade()
        assert gateway.wait_draining()["connections"] == 1
        began = time.monotonic()
        assert gateway.stop() == 0
        assert time.monotonic() - began < 20
        command.kill()
        command.communicate()


def test_a_supervisor_killed_while_a_node_drains_leaves_its_sessions_as_they_are(tmp_path: Path) -> None:
    with (
        Answering() as server,
        upgraded(tmp_path, text(server, idle="20s")) as gateway,
        client(gateway.port) as own,
        client(gateway.port) as other,
    ):
        assert echoed(own, b"a") == b"a"
        gateway.packages.install(NEW)
        command = gateway.begin_upgrade()
        gateway.wait_draining()
        assert echoed(other, b"a") == b"a"
        gateway.process.kill()
        gateway.wait()
        command.kill()
        command.communicate()
        for each in (own, other):
            assert echoed(each, b"b") == b"b"
        gateway.again()
        gateway.wait_event("adopted the running node")
        for each in (own, other):
            assert echoed(each, b"c") == b"c"
        assert len(set(server.peers)) == 2
        assert gateway.wait_event("the old node has drained")["cut"] == 0
        assert echoed(own, b"d") == b"d"


REFUSED = [("draining.py", '"datagrams.leave"', '"datagrams.none"')]
"""The old node has no such message."""
UNASKED = [
    ("crew.py", "begin(seconds, self.team.node)", "begin(seconds)"),
    ("node.py", '"without_datagrams": True, ', ""),
]
"""What is installed has none."""


@pytest.mark.parametrize("changes", [REFUSED, UNASKED], ids=["upgrade", "downgrade"])
def test_with_a_version_before_this_sessions_begin_anew(
    tmp_path: Path, changes: list[tuple[str, str, str]]
) -> None:
    with Answering() as server, upgraded(tmp_path, text(server, idle="50s")) as gateway:
        supervisor = gateway.packages.current.parent / NEW / "tidegate" / "supervisor"
        for file, known, other in changes:
            source = (supervisor / file).read_text()
            assert source.count(known) == 1
            (supervisor / file).write_text(source.replace(known, other))
        with client(gateway.port) as own:
            assert echoed(own, b"a") == b"a"
            gateway.packages.install(NEW)
            record = gateway.upgrade()
            assert record["state"] == "done" and record["drained"][0]["cut"] == 0
            assert record["drained"][0]["left_s"] > 30
            assert echoed(own, b"b") == b"b"
            assert len(set(server.peers)) == 2


QUIC = """
gateway: { threads: 2, graceful_stop: 60s }
listeners: { game: { address: 127.0.0.1, port: PORT, protocol: udp } }
routes:
  - { type: udp, listeners: game, hosts: [one.test], to: "udp://ONE", timeouts: { idle: 15s } }
  - { type: udp, listeners: game, hosts: [two.test], to: "udp://TWO", timeouts: { idle: 15s } }
"""


@pytest.mark.parametrize("moves", [False, True])
def test_a_connection_of_quic_that_is_passed_on_goes_on(
    tmp_path: Path, authority: Authority, moves: bool
) -> None:
    with (
        quic.Server(authority, "one.test") as one,
        quic.Server(authority, "two.test") as two,
        upgraded(tmp_path, QUIC.replace("ONE", one.address).replace("TWO", two.address)) as gateway,
    ):
        connected = [quic.client(gateway.port, authority, name).shake() for name in ("one.test", "two.test")]
        stream = connected[1].send("/", "POST", ends=False)
        for each, name in zip(connected, (b"one.test", b"two.test"), strict=True):
            assert each.ask().body == name
        before, _ = gateway.node()
        gateway.packages.install(NEW)
        command = gateway.begin_upgrade()

        def drains() -> bool:
            # A silent session would be over.
            for each in connected:
                each.ask()
            return gateway.drains(before)

        assert wait_until(drains, 2 * DEADLINE), gateway.log()
        if moves:
            for each in connected:
                each.move()
        for turn in range(5):
            for each, name in zip(connected, (b"one.test", b"two.test"), strict=True):
                assert each.ask().body == name
            connected[1].upload(stream, b"%d" % turn, ends=turn == 4)
            for host in ("one.test", "two.test"):
                assert quic.said(quic.client(gateway.port, authority, host)) == host.encode()
        assert connected[1].wait(stream)[0].body == b"two.test01234"
        for each in connected:
            each.close()
        assert [server.opened for server in (one, two)] == [6, 6]
        assert finished(command)["drained"][0]["cut"] == 0, gateway.log()
