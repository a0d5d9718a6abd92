# SPDX-License-Identifier: Apache-2.0
"""Connections of HTTP/3 go on while a new version takes over, and new ones begin there."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.integration.http3.client import Client, to_port
from tests.integration.l4.kit import Server
from tests.integration.supervised import DEADLINE
from tests.integration.tls.authority import Authority, Pair
from tidegate.testing import wait_until

from .packages import NEW, OLD, PATIENCE, Upgraded, finished, upgraded

NO_ERROR = 0x100
HALF = bytes(range(256)) * 4096

TEXT = """
gateway: { threads: 2, graceful_stop: 60s }
listeners:
  web:
    address: 127.0.0.1
    port: PORT
    http3: true
    tls: { certificates: [{ cert: "CERT", key: "KEY" }] }
routes:
  - { path: /quick, to: { respond: quick } }
  - { path: /, to: "http://ORIGIN" }
"""


def configuration(pair: Pair, origin: str = "127.0.0.1:1") -> str:
    text = TEXT.replace("CERT", str(pair.cert)).replace("KEY", str(pair.key))
    return text.replace("ORIGIN", origin)


def in_halves(release: threading.Event) -> Callable[[socket.socket], None]:
    """Sends half of an answer, and the rest once it may."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % (2 * len(HALF))
        connection.sendall(head + HALF)
        assert release.wait(PATIENCE)
        connection.sendall(HALF)

    return serve


def begin(gateway: Upgraded, version: str, *connected: Client) -> subprocess.Popen[str]:
    """Begins an upgrade, and waits until the old node drains; clients are there meanwhile."""
    before = gateway.node()[0]
    gateway.packages.install(version)
    command = gateway.begin_upgrade()

    def drains() -> bool:
        for each in connected:
            each.step(0.05)
        return gateway.drains(before)

    assert wait_until(drains, PATIENCE), gateway.log()
    return command


def asked(gateway: Upgraded, authority: Authority) -> bytes:
    """What a new connection gets, which has to be well at the first try."""
    with to_port(gateway.port, authority) as connected:
        answer = connected.ask("/quick")
        assert answer.status == 200
        return bytes(answer.body)


def test_a_download_is_whole_and_new_connections_succeed_meanwhile(
    tmp_path: Path, authority: Authority, pair: Pair, release: threading.Event
) -> None:
    with (
        Server(in_halves(release)) as origin,
        upgraded(tmp_path, configuration(pair, origin.address)) as gateway,
        to_port(gateway.port, authority) as connected,
    ):
        answer = connected.answers[connected.send("/long")]
        while len(answer.body) < len(HALF):
            assert connected.step()
        command = begin(gateway, NEW, connected)
        # It knows that it is the last that it gets here.
        while connected.goaway is None:
            assert connected.step(), connected.terminated
        for _ in range(20):
            assert asked(gateway, authority) == b"quick"
        assert not answer.is_over
        release.set()
        while not answer.is_over:
            assert connected.step(), connected.terminated
        assert answer.body == HALF * 2
        assert connected.wait_for_end() == NO_ERROR
        record = finished(command)
        assert [each["cut"] for each in record["drained"]] == [0]
        for _ in range(5):
            assert asked(gateway, authority) == b"quick"
        assert gateway.node()[1] == NEW


def test_a_client_that_goes_on_asking_is_told_to_come_again_and_loses_nothing(
    tmp_path: Path, authority: Authority, pair: Pair
) -> None:
    with upgraded(tmp_path, configuration(pair)) as gateway:
        over, counted, goaways = threading.Event(), [0, 0], [0]
        problems: list[object] = []

        def ask() -> None:
            """As browsers do: on one connection until that says that it ends, then on another."""
            while not over.is_set():
                connected = Client(gateway.port, authority).shake()
                counted[1] += 1
                while not over.is_set() and connected.goaway is None and connected.terminated is None:
                    stream = connected.send("/quick")
                    answer = connected.answers[stream]
                    while not answer.is_over and connected.step():
                        pass
                    if answer.is_over and answer.status == 200 and answer.body == b"quick":
                        counted[0] += 1
                    # What is rejected has not been begun: it may be sent again (RFC 9114 section 4.1.1).
                    elif answer.reset != 0x10B:
                        problems.append((answer, connected.terminated))
                goaways[0] += connected.goaway is not None
                connected.close()

        def has_counted(many: int) -> bool:
            return counted[0] >= many

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            for turn, version in enumerate((NEW, OLD)):
                gateway.packages.install(version)
                record = gateway.upgrade()
                assert record["state"] == "done", record
                assert record["drained"][-1]["cut"] == 0
                assert not problems
                enough = counted[0] + 20
                assert wait_until(partial(has_counted, enough), DEADLINE)
                assert goaways[0] == turn + 1
        finally:
            over.set()
            asking.join(DEADLINE)
        assert not problems
        assert counted[1] == 3


def test_an_upgrade_during_an_upgrade_keeps_the_connections_of_all_three_nodes(
    tmp_path: Path, authority: Authority, pair: Pair, release: threading.Event
) -> None:
    with (
        Server(in_halves(release)) as origin,
        upgraded(tmp_path, configuration(pair, origin.address)) as gateway,
        to_port(gateway.port, authority) as first,
    ):
        answers = [first.answers[first.send("/long")]]
        while len(answers[0].body) < len(HALF):
            assert first.step()
        interrupted = begin(gateway, NEW, first)
        interrupted.kill()
        interrupted.communicate()
        with to_port(gateway.port, authority) as second:
            answers.append(second.answers[second.send("/long")])
            while len(answers[1].body) < len(HALF):
                assert second.step()
            command = begin(gateway, OLD, first, second)
            assert asked(gateway, authority) == b"quick"
            assert not any(answer.is_over for answer in answers)
            release.set()
            for connected, answer in zip((first, second), answers, strict=True):
                while not answer.is_over:
                    assert connected.step(), connected.terminated
                assert answer.body == HALF * 2
                assert connected.wait_for_end() == NO_ERROR
        assert finished(command)["drained"][-1]["cut"] == 0
        assert asked(gateway, authority) == b"quick"


def test_what_reaches_the_drain_time_is_cut_and_counted(
    tmp_path: Path, authority: Authority, pair: Pair, release: threading.Event
) -> None:
    with (
        Server(in_halves(release)) as origin,
        upgraded(tmp_path, configuration(pair, origin.address)) as gateway,
        to_port(gateway.port, authority) as connected,
    ):
        answer = connected.answers[connected.send("/long")]
        while len(answer.body) < len(HALF):
            assert connected.step()
        gateway.packages.install(NEW)
        command = gateway.begin_upgrade("--drain-time", "2s")
        connected.wait_for_end()
        assert not answer.is_over
        assert finished(command)["drained"][0]["cut"] == 1
        assert asked(gateway, authority) == b"quick"


@pytest.mark.parametrize("kind", ["short", "initial"])
def test_packets_that_nobody_knows_do_not_keep_others_from_coming_in(
    tmp_path: Path, authority: Authority, pair: Pair, release: threading.Event, kind: str
) -> None:
    with (
        Server(in_halves(release)) as origin,
        upgraded(tmp_path, configuration(pair, origin.address)) as gateway,
        to_port(gateway.port, authority) as connected,
    ):
        answer = connected.answers[connected.send("/long")]
        while len(answer.body) < len(HALF):
            assert connected.step()
        command = begin(gateway, NEW, connected)
        over, sent = threading.Event(), [0]

        def flood() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
                own.bind(("127.0.0.2", 0))
                while not over.is_set():
                    number = sent[0].to_bytes(8, "big")
                    # RFC 9000 section 17: a short header, or that of an Initial packet, too short to be one.
                    initial = b"\xc0\0\0\0\x01\x08" + number + b"\0\0\x40\x40"
                    head = b"\x40" + number if kind == "short" else initial
                    own.sendto(head + bytes(100), ("127.0.0.1", gateway.port))
                    sent[0] += 1

        flooding = threading.Thread(target=flood)
        flooding.start()
        try:
            while sent[0] < 10_000:
                connected.step(0.05)
            assert asked(gateway, authority) == b"quick"
            release.set()
            while not answer.is_over:
                assert connected.step(), connected.terminated
            assert answer.body == HALF * 2
        finally:
            over.set()
            flooding.join(DEADLINE)
        assert connected.wait_for_end() == NO_ERROR
        assert finished(command)["drained"][0]["cut"] == 0
