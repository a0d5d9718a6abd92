# SPDX-License-Identifier: Apache-2.0
"""The check through a real node."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tidegate.testing import RunningGateway, gateway, wait_until

PATIENCE = 30.0
OFTEN = "interval: 50ms, quick_interval: 50ms, healthy_after: 1, unhealthy_after: 1"


@contextmanager
def server(answers: dict[bytes, bytes], port: int = 0) -> Iterator[str]:
    """A server that has an answer to some datagrams; says where."""
    own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    own.bind(("127.0.0.1", port))
    over = threading.Event()

    def serve() -> None:
        while True:
            data, peer = own.recvfrom(4096)
            if over.is_set():
                return
            if data in answers:
                own.sendto(answers[data], peer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{own.getsockname()[1]}"
    finally:
        over.set()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waking:
            waking.sendto(b"", own.getsockname())
        thread.join(PATIENCE)
        own.close()


def checked(check: str, *addresses: str) -> RunningGateway:
    """A gateway whose backend has this check."""
    listed = ", ".join(f"'{each}'" for each in addresses)
    text = (
        "listeners: {game: {port: 0, protocol: udp}}\n"
        f"backends: {{b: {{endpoints: [{listed}], balancing: round_robin,"
        f" health_check: {{type: udp, {OFTEN}, {check}}}}}}}\n"
        "routes: [{type: udp, listeners: game, to: b}]"
    )
    return gateway(text, threads=1)


def health(running: RunningGateway) -> list[str]:
    """What is known of each endpoint."""
    return [each["health"] for each in running.status()["backends"][0]["endpoints"]]


@pytest.mark.parametrize(
    ("check", "verdict"),
    [
        ("send: ping, timeout: 20s", "up"),
        ("send: ping, expect: ng!, timeout: 20s", "up"),
        ("send: 'hex:70696e67', expect: 'hex:706f6e', timeout: 20s", "up"),
        ("send: ping, expect: ping, timeout: 20s", "down"),
        ("send: nothing, timeout: 200ms", "down"),
    ],
)
def test_what_is_expected_must_come(check: str, verdict: str) -> None:
    with server({b"ping": b"pong!"}) as address, checked(check, address) as running:
        assert wait_until(lambda: health(running) != ["unchecked"], PATIENCE)
        assert health(running) == [verdict]


def test_an_endpoint_goes_down_at_once_where_nobody_is_and_comes_back() -> None:
    with server({b"?": b"a", b"x": b"a"}) as a:
        with server({b"?": b"b", b"x": b"b"}) as b:
            pass
        # An answer is not waited for where the host says that there is nobody.
        with checked("send: '?', timeout: 60s", a, b) as running:
            assert wait_until(lambda: health(running) == ["up", "down"], PATIENCE)

            def asked() -> bytes:
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                    client.settimeout(PATIENCE)
                    client.connect(("127.0.0.1", running.ports["game"]))
                    client.send(b"x")
                    return client.recv(64)

            assert {asked() for _ in range(6)} == {b"a"}
            with server({b"?": b"b", b"x": b"b"}, int(b.rpartition(":")[2])):
                assert wait_until(lambda: health(running) == ["up", "up"], PATIENCE)
                assert {asked() for _ in range(6)} == {b"a", b"b"}
