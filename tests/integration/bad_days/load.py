# SPDX-License-Identifier: Apache-2.0
"""New connections at a fixed rate, whatever becomes of them, each with its outcome; and an origin to match.

Open loop: a gateway that stalls gets as many connections as one that does not. Both run on one event loop in
a thread of their own, so that a test can kill processes and count meanwhile.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

PATIENCE = 30.0
"""Seconds after which a connection counts as stuck."""


T = TypeVar("T")


@dataclass
class Shot:
    """One connection with one request; times in nanoseconds of the monotonic clock.

    `outcome` is `open` until it ends as `ok`, `status NNN`, `refused` (nobody listened), `unreachable`, `cut`
    (no response, or not a whole one) or `stuck`.
    """

    number: int
    begun: int
    outcome: str = "open"
    ended: int = 0
    detail: str = ""

    def was_open(self, start: int, end: int) -> bool:
        """Whether it was under way at some moment between two."""
        return self.begun <= end and (self.ended == 0 or self.ended >= start)


class Bench:
    """The event loop's thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="load", daemon=True)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine there and returns what it does."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE * 4)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        async def cancel() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self.run(cancel())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class Origin:
    """Answers every GET with its path, `after` seconds later, so that some are always in flight."""

    def __init__(self, bench: Bench, after: float = 0.0) -> None:
        self.after = after
        self._bench = bench
        self.paths: list[str] = []
        self.connections = 0
        self._server = bench.run(self._listen())
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def address(self) -> str:
        """`IP:port`."""
        return f"127.0.0.1:{self.port}"

    def close(self) -> None:
        """Listens no more; what is open is served on."""
        self._bench.run(self._close())

    async def _close(self) -> None:
        self._server.close()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ", 2)[1]
                self.paths.append(path.decode())
                if self.after:
                    await asyncio.sleep(self.after)  # how slow this origin is; nothing waits for it to pass
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(path), path))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the gateway has closed it
        finally:
            writer.close()


class Load:
    """Connections to `port`, `rate` a second, until `stop`.

    The request of shot `n` is `GET PREFIX/n`, and only a 200 that repeats the path counts as `ok`.
    """

    def __init__(self, bench: Bench, port: int, rate: float = 200.0, prefix: str = "") -> None:
        self.shots: list[Shot] = []
        self._changed = threading.Condition()
        self._bench = bench
        self._port = port
        self._prefix = prefix
        self._interval = 1 / rate
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._ended = 0
        self._done = asyncio.run_coroutine_threadsafe(self._offer(), bench.loop)

    def wait(self, condition: Callable[[Load], object], timeout: float = PATIENCE * 2) -> None:
        """Waits until `condition(self)` holds, looking whenever a connection ended."""
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self), timeout), self.report()

    def wait_more(self, count: int) -> None:
        """Waits until that many connections more than now have ended."""
        end = self._ended + count
        self.wait(lambda load: load._ended >= end)

    def wait_served_after(self, moment: int) -> None:
        """Waits for a whole answer to a connection that began after `moment`."""
        self.wait(lambda load: any(s.outcome == "ok" and s.begun > moment for s in reversed(load.shots)))

    def stop(self) -> list[Shot]:
        """Begins no more, waits for those under way, and returns all."""
        self._stopping = True
        self._done.result(PATIENCE * 2)
        return self.shots

    def report(self) -> str:
        """Outcomes with their counts, for people."""
        counts = Counter(shot.outcome for shot in self.shots)
        details = Counter(shot.detail for shot in self.shots if shot.detail)
        longest = max(((s.ended or time.monotonic_ns()) - s.begun for s in self.shots), default=0)
        return (
            f"{len(self.shots)} connections: {dict(counts)} {dict(details)}; longest {longest / 1e6:.0f} ms"
        )

    async def _offer(self) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        while not self._stopping:
            number = len(self.shots)
            due = start + number * self._interval
            if due > loop.time():
                await asyncio.sleep(due - loop.time())  # the rate itself
            shot = Shot(number, time.monotonic_ns())
            self.shots.append(shot)
            task = asyncio.create_task(self._fire(shot))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await asyncio.gather(*self._tasks)

    async def _fire(self, shot: Shot) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                shot.outcome = await self._exchange(shot)
        except TimeoutError:
            shot.outcome = "stuck"
        shot.ended = time.monotonic_ns()
        with self._changed:
            self._ended += 1
            self._changed.notify_all()

    async def _exchange(self, shot: Shot) -> str:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except ConnectionRefusedError:
            return "refused"
        except OSError as error:
            shot.detail = str(error)
            return "unreachable"
        path = f"{self._prefix}/{shot.number}".encode()
        received = b""
        try:
            writer.write(b"GET %b HTTP/1.1\r\nhost: load\r\nconnection: close\r\n\r\n" % path)
            while data := await reader.read(65536):
                received += data
        except OSError as error:
            shot.detail = type(error).__name__
        finally:
            writer.transport.abort()
        head, _, body = received.partition(b"\r\n\r\n")
        status = head[9:12].decode("latin-1")
        if status == "200" and body == path:
            return "ok"
        if status in ("", "200"):
            shot.detail = shot.detail or ("no answer" if not received else "half an answer")
            return "cut"
        return f"status {status}"
