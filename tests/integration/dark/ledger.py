# SPDX-License-Identifier: Apache-2.0
"""Requests at a fixed rate over kept connections, each written down with when it was sent and its outcome.

Open loop: request `n` is sent at `n / rate`, whatever became of those before it. Four of five are GETs, the
fifth is a POST, which no proxy may send twice.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

PATIENCE = 20.0
"""Seconds after which a request counts as stuck."""
POST_EVERY = 5
TURN = 0.002
"""Seconds between two looks at what is due."""


@dataclass(slots=True)
class Entry:
    """One request; times in nanoseconds of the monotonic clock, `ended` 0 while it is under way.

    `outcome` is `open`, then `ok`, `status NNN`, `cut` (the connection ended before a whole answer), `wrong`
    (the answer to another request), `refused` or `stuck`.
    """

    number: int
    connection: int
    begun: int
    ended: int = 0
    outcome: str = "open"

    @property
    def is_post(self) -> bool:
        """Whether it may be sent once only."""
        return self.number % POST_EVERY == 0

    def was_open(self, start: int, end: int) -> bool:
        """Whether it was under way at some moment between two."""
        return self.begun <= end and (self.ended == 0 or self.ended >= start)


class Connection(asyncio.Protocol):
    """One connection of the client, with at most one request on it."""

    def __init__(self, ledger: Ledger, number: int) -> None:
        self.number = number
        self.transport: asyncio.Transport | None = None
        self._ledger = ledger
        self._entry: Entry | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def send(self, entry: Entry) -> None:
        """Sends one request and expects its answer."""
        assert self.transport is not None
        self._entry = entry
        entry.connection = self.number
        self.transport.write(self._ledger.request(entry))

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or self._entry is None:
            return
        lower = head.lower()
        _, _, rest = lower.partition(b"content-length:")
        if len(body) < int(rest.split(b"\r\n", 1)[0] or 0):
            return
        entry, self._entry, self._received = self._entry, None, b""
        status = head[9:12].decode("latin-1")
        outcome = "ok" if body == b"%d" % entry.number else "wrong"
        self._ledger.end(entry, outcome if status == "200" else f"status {status}")
        if b"connection: close" in lower:
            assert self.transport is not None
            self.transport.close()
        else:
            self._ledger.free.append(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        if self._entry is not None:
            self._ledger.end(self._entry, "cut")


class Ledger:
    """A load on `port` of 127.0.0.1 that writes everything down; `with` begins it and ends it.

    GETs go to `get` and POSTs to `post`, followed by the request's number.
    """

    def __init__(self, port: int, rate: int, *, get: str = "/g/", post: str = "/p/") -> None:
        self.entries: list[Entry] = []
        self.open: list[Connection] = []
        self.free: list[Connection] = []
        self.rate = rate
        self._port = port
        self._paths = (get, post)
        self._ended = 0
        self._stopping = False
        self._changed = threading.Condition()
        self._opening: set[asyncio.Task[None]] = set()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._main, name="ledger", daemon=True)

    def request(self, entry: Entry) -> bytes:
        """The bytes of a request."""
        number = b"%d" % entry.number
        head = f"{'POST' if entry.is_post else 'GET'} {self._paths[entry.is_post]}{entry.number} HTTP/1.1\r\n"
        more = (
            f"host: load\r\ncontent-length: {len(number)}\r\n\r\n" if entry.is_post else "host: load\r\n\r\n"
        )
        return (head + more).encode() + (number if entry.is_post else b"")

    def end(self, entry: Entry, outcome: str) -> None:
        """Writes down what a request came to."""
        entry.ended, entry.outcome = time.monotonic_ns(), outcome
        self._ended += 1

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Waits until a condition holds, looking now and then."""
        with self._changed:
            found = self._changed.wait_for(condition, PATIENCE * 4)
        assert self._failed is None, self._failed
        assert found, self.report()

    def wait_for(self, seconds: float) -> None:
        """Waits until the requests of so many more seconds, at the rate, have ended."""
        enough = self._ended + round(seconds * self.rate)
        self.wait_until(lambda: self._ended >= enough)

    def stop(self) -> list[Entry]:
        """Begins no more, waits for those under way, and returns all."""
        self._stopping = True
        self._thread.join(PATIENCE * 2)
        assert not self._thread.is_alive() and self._failed is None, self._failed or self.report()
        return self.entries

    def report(self) -> str:
        """Outcomes with their counts, for people."""
        counts = Counter(entry.outcome for entry in self.entries)
        longest = max((entry.ended - entry.begun for entry in self.entries if entry.ended), default=0)
        span = (self.entries[-1].begun - self.entries[0].begun) / 1e9 if len(self.entries) > 1 else 1.0
        return (
            f"{len(self.entries)} requests in {span:.1f} s ({len(self.entries) / span:.0f}/s) over "
            f"{len(self.open)} connections: {dict(counts)}; slowest {longest / 1e6:.0f} ms"
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        self._thread.join(PATIENCE * 2)
        if error is not None:
            error.add_note(self.report())

    def _main(self) -> None:
        try:
            asyncio.run(self._offer())
        except BaseException as error:  # told to the test's own thread
            self._failed = error

    async def _offer(self) -> None:
        start = time.monotonic()
        while not self._stopping:
            due = int((time.monotonic() - start) * self.rate)
            while len(self.entries) < due:
                self._send()
            with self._changed:
                self._changed.notify_all()
            await asyncio.sleep(TURN)  # the rate itself
        last = time.monotonic() + PATIENCE
        for entry in self.entries:
            # An event for each answer would cost more.
            while entry.outcome == "open" and time.monotonic() < last:  # noqa: ASYNC110
                await asyncio.sleep(TURN)
        for entry in self.entries:
            if entry.outcome == "open":
                self.end(entry, "stuck")
        for connection in self.open:
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.gather(*self._opening)
        await asyncio.sleep(0)  # a turn in which they are closed

    def _send(self) -> None:
        entry = Entry(len(self.entries), -1, time.monotonic_ns())
        self.entries.append(entry)
        while self.free:
            connection = self.free.pop()
            if connection.transport is not None and not connection.transport.is_closing():
                connection.send(entry)
                return
        task = asyncio.get_running_loop().create_task(self._open(entry))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, entry: Entry) -> None:
        loop = asyncio.get_running_loop()
        connection = Connection(self, len(self.open))
        self.open.append(connection)
        try:
            await loop.create_connection(lambda: connection, "127.0.0.1", self._port)
        except OSError:
            self.end(entry, "refused")
        else:
            connection.send(entry)
