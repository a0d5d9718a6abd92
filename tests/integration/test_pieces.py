# SPDX-License-Identifier: Apache-2.0
"""Requests that come piece by piece, from many clients at once: all are served, and waiting costs little."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

from tests.integration.settings.kit import ask, small
from tidegate.testing import Wire, endpoint, wait_until

CLIENTS = 60
"""More than read in a row before others get their turn."""
LONG = "x" * 20_000
"""More than a buffer holds."""
PIECES = [
    b"PO",
    b"ST /first HTTP/1.1\r\nHost: a\r",
    f"\nX-Long: {LONG}".encode(),
    b"y\r\nContent-Length: 12\r\n\r",
    b"\nfive+",
    b"seven",
    # The end of one request, another one that is whole, and the beginning of a third.
    b"!!" + b"GET /second HTTP/1.1\r\nHost: a\r\n\r\n" + b"GET /third HTTP/1.1\r\nHo",
    b"st: a\r\n\r\n",
]
STALLED = 500
MOST_BYTES = 6 << 10
"""That the beginning of a header may cost; the buffer that it was read into has 16 KiB."""


def resident(pid: int) -> int:
    """Memory of a process in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_requests_in_pieces_are_whole_at_the_endpoint() -> None:
    with (
        endpoint() as upstream,
        small(upstream, listener="limits: { header_size: 64KiB }", route="buffer_request: 64KiB") as running,
        contextlib.ExitStack() as stack,
    ):
        wires = [stack.enter_context(Wire(("127.0.0.1", running.port))) for _ in range(CLIENTS)]
        for piece in PIECES:
            for wire in wires:
                wire.send(piece, *(["POST", "GET", "GET"] if piece is PIECES[0] else []))
            # Somebody with a whole request is served meanwhile.
            assert ask(running, "/honest").status == 200
        assert all(wire.wait_final(3) for wire in wires)
        assert {response.status for wire in wires for response in wire.final_responses} == {200}
        bodies = [message.body for message in upstream.messages if message.target == "/first"]
        assert bodies == [b"five+seven!!"] * CLIENTS
        longs = [message.get("x-long") for message in upstream.messages if message.target == "/first"]
        assert longs == [LONG + "y"] * CLIENTS
        assert sum(message.target == "/third" for message in upstream.messages) == CLIENTS


def test_the_beginning_of_a_header_costs_little_memory() -> None:
    with endpoint() as upstream, small(upstream) as running, contextlib.ExitStack() as stack:
        assert ask(running).status == 200
        pid = running.status()["pid"]
        accepted, before = running.status()["connections_accepted"], resident(pid)
        for _ in range(STALLED):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", running.port)))
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: 1\r\n")
        assert wait_until(lambda: running.status()["connections_accepted"] >= accepted + STALLED, 60)
        assert ask(running).status == 200
        assert resident(pid) - before <= STALLED * MOST_BYTES
