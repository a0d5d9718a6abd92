# SPDX-License-Identifier: Apache-2.0
"""The check through a real node."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tidegate.testing import gateway, wait_until

PATIENCE = 30.0


@contextmanager
def server(says: bytes, after: bytes = b"") -> Iterator[str]:
    """A server that says something on each connection, once it has been sent `after`; then it waits."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            heard = b""
            while after not in heard:
                piece = connection.recv(4096)
                if not piece:
                    return
                heard += piece
            connection.sendall(says)
            connection.recv(4096)

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=[connection], daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


@pytest.mark.parametrize(
    ("says", "after", "check", "verdict"),
    [
        (b"", b"", "", "up"),
        (b"220 ready", b"", ", expect: '220 '", "up"),
        (b"554 no", b"", ", expect: '220 '", "down"),
        (b"+PONG\r\n", b"PING\r\n", ', send: "PING\\r\\n", expect: +PONG', "up"),
        (b"+PONG\r\n", b"", ", expect: +PONG, expect_within: 4B", "down"),
    ],
)
def test_what_is_expected_must_come(says: bytes, after: bytes, check: str, verdict: str) -> None:
    often = "interval: 50ms, timeout: 500ms, healthy_after: 1, unhealthy_after: 1"
    with server(says, after) as address:
        text = (
            "listeners: {web: {port: 0}}\n"
            f"backends: {{b: {{endpoints: ['{address}'], health_check: {{type: tcp, {often}{check}}}}}}}\n"
            "routes: [{path: /, to: b}]"
        )
        with gateway(text, threads=1) as running:

            def said() -> str:
                found: str = running.status()["backends"][0]["endpoints"][0]["health"]
                return found

            assert wait_until(lambda: said() != "unchecked", PATIENCE)
            assert said() == verdict
