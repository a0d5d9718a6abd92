# SPDX-License-Identifier: Apache-2.0
"""Clients that send or take as slowly as they can: they are cut, cost little, and nobody else notices.

How it is with as many as descriptors permit, and how long others wait then, is measured by
`python -m benches.slow_clients`.
"""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from tests.integration.settings.kit import ask
from tidegate.testing import Reply, endpoint, gateway, wait_until

EACH = 60
"""Slow clients of each kind."""
LARGE = 8 << 20
"""More than the kernel's buffers take of a response."""
MOST_BYTES = 256 << 10
"""That one slow client may cost the node; the large response is 32 times that."""
OPENERS = {
    "headers": b"GET / HTTP/1.1\r\nHost: a\r\n",
    "body": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4096\r\n\r\n",
    "read": b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
}
MORE = {"headers": b"X-Slow: 1\r\n", "body": b"x", "read": b""}


@contextlib.contextmanager
def slow(kind: str, port: int) -> Iterator[list[socket.socket]]:
    """Clients that have begun and do not go on."""
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(EACH):
            client = stack.enter_context(socket.socket())
            if kind == "read":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", port))
            client.sendall(OPENERS[kind])
            client.setblocking(False)
            clients.append(client)
        yield clients


def goes_on(kind: str, client: socket.socket) -> bytes | None:
    """Sends a little; what came back at the end, `None` while there is no end."""
    try:
        if kind == "read":
            # It reads nothing: that it was let go shows as an error of the connection.
            error = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            return b"reset" if error else None
        # Before it sends: what it sends after the end would take the answer along.
        with contextlib.suppress(BlockingIOError):
            return client.recv(4096)
        client.send(MORE[kind])
        return None
    except ConnectionError:
        return b"reset"


def resident(pid: int) -> int:
    """Memory of a process in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_slow_clients_are_cut_and_nobody_else_notices() -> None:
    with endpoint() as small, endpoint(Reply(body=b"x" * LARGE)) as large:
        text = f"""
listeners: {{ web: {{ port: 0, timeouts: {{ header: 2s, body_stall: 2s, send_stall: 2s }} }} }}
backends:
  small: {{ endpoints: ["{small.address}"] }}
  large: {{ endpoints: ["{large.address}"] }}
routes:
  - {{ path: /, to: small, buffer_request: 64KiB }}
  - {{ path: /large, to: large }}
"""
        with gateway(text, threads=2) as running, contextlib.ExitStack() as stack:
            before = resident(running.status()["pid"])
            clients = [
                (kind, client) for kind in OPENERS for client in stack.enter_context(slow(kind, running.port))
            ]
            most, honest = before, 0
            ends: dict[str, list[bytes]] = {kind: [] for kind in OPENERS}

            def all_ended() -> bool:
                nonlocal most, honest
                assert ask(running).status == 200
                honest += 1
                most = max(most, resident(running.status()["pid"]))
                for kind, client in list(clients):
                    end = goes_on(kind, client)
                    if end is not None:
                        ends[kind].append(end)
                        clients.remove((kind, client))
                return not clients

            assert wait_until(all_ended, 60), (honest, len(clients), ends)
            assert all(b" 408 " in end for end in ends["headers"] + ends["body"]), ends
            assert ends["read"] == [b"reset"] * EACH
            assert len(small.messages) == honest, "no slow body reached an endpoint"
            assert most - before <= 3 * EACH * MOST_BYTES, (before, most)
            print(
                f"{honest} honest requests beside {3 * EACH} slow clients; {(most - before) >> 10} KiB more"
            )
