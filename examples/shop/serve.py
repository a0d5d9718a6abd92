# SPDX-License-Identifier: Apache-2.0
"""A small ASGI server for HTTP/1.1, so that the shop needs nothing but Python.

`python -m shop.serve shop.user:app --address 127.0.1.21 --port 9000`

Keep-alive, pipelining, `Content-Length` and chunked bodies both ways (RFC 9112 §6, §7, §9.3), and
WebSockets. No TLS or trailers: what faces the world is the gateway. SIGTERM lets running requests end.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from shop.websocket import Socket, is_asked_for
from shop.wire import Body, MalformedError, Reply, read_head

App = Callable[..., Awaitable[None]]

IDLE = 15.0
"""Seconds a connection may be idle: longer than a gateway keeps one, so that ours never closes
just as a request is on its way."""
GRACE = 5.0
"""Seconds that running requests have once the server is told to stop."""


class Server:
    """Runs one ASGI application on one address."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._idle: set[asyncio.Task[None]] = set()
        self._busy: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def run(self, address: str, port: int, stop: asyncio.Event) -> None:
        """Serves until `stop`, then ends idle connections at once and busy ones after their request."""
        server = await asyncio.start_server(self._connection, address, port, backlog=512)
        await stop.wait()
        self._stopping = True
        server.close()
        for task in self._idle:
            task.cancel()
        if self._busy:
            await asyncio.wait(self._busy, timeout=GRACE)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            keep = True
            while keep and not self._stopping:
                self._idle.add(task)
                async with asyncio.timeout(IDLE):
                    head = await read_head(reader)
                self._idle.discard(task)
                if head is None:
                    break
                if is_asked_for(head):
                    # Nothing that has to be waited for: whoever listens connects again, to another one.
                    self._idle.add(task)
                    socket = Socket(reader, writer, head)
                    await self._app(socket.scope, socket.receive, socket.send)
                    break
                self._busy.add(task)
                keep = await self._exchange(head, reader, writer)
                self._busy.discard(task)
        except MalformedError as error:
            writer.write(b"HTTP/1.1 %d \r\nconnection: close\r\ncontent-length: 0\r\n\r\n" % error.status)
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # The peer went away or idled too long, or we stop: nobody is left to tell.
        finally:
            self._idle.discard(task)
            self._busy.discard(task)
            writer.close()

    async def _exchange(
        self, head: MutableMapping[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """One request and its answer; whether the connection can carry another."""
        body = Body(reader, writer, head)
        reply = Reply(writer, head)
        try:
            await self._app(head, body.receive, reply.send)
        except Exception as error:
            if reply.has_begun:
                return False  # Cut short, so that nobody takes half an answer for a whole one.
            if isinstance(error, OSError | EOFError | MalformedError):
                raise
            print(f"{head['method']} {head['path']}: {type(error).__name__}: {error}", file=sys.stderr)
            await reply.send({"type": "http.response.start", "status": 500, "headers": []})
            await reply.send({"type": "http.response.body", "body": b""})
        finally:
            body.answered.set()
        return reply.keeps_alive and not self._stopping and await body.is_finished()


def load(name: str) -> App:
    """The application `module:attribute`."""
    module, _, attribute = name.partition(":")
    app: App = getattr(importlib.import_module(module), attribute or "app")
    return app


def _stop_at_end_of_input(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    loop.call_soon_threadsafe(stop.set)


def told_to_stop(until_input_ends: bool) -> asyncio.Event:
    """Set by SIGTERM and SIGINT, and if asked for by the end of standard input."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if until_input_ends:
        # Whoever started us holds the other end: when it is gone, even killed, so are we.
        threading.Thread(target=_stop_at_end_of_input, args=(loop, stop), daemon=True).start()
    return stop


def add_place(parser: argparse.ArgumentParser) -> None:
    """The options that say where to listen and until when."""
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--until-input-ends", action="store_true", help="stop when standard input ends")


async def _main(arguments: argparse.Namespace) -> None:
    stop = told_to_stop(arguments.until_input_ends)
    await Server(load(arguments.app)).run(arguments.address, arguments.port, stop)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="shop.serve", description="Serve one ASGI application.")
    parser.add_argument("app", help="module:attribute, such as shop.user:app")
    add_place(parser)
    asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
