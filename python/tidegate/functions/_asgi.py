# SPDX-License-Identifier: Apache-2.0
"""ASGI applications (version 3.0 of the specification): scopes `http` and `lifespan`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

from tidegate._engine import Request
from tidegate.functions._errors import LoadError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_VERSIONS = {"version": "3.0", "spec_version": "2.4"}


def wrap(application: Application, state: dict[str, Any]) -> Callable[[Request], Awaitable[None]]:
    """Makes a coroutine function of an application; `state` is what its lifespan left there."""

    async def call(request: Request) -> None:
        exchange = _Exchange(request)
        await application(scope_of(request, state), exchange.receive, exchange.send)
        exchange.check()

    return call


def scope_of(request: Request, state: dict[str, Any]) -> dict[str, Any]:
    """The `http` scope of a request."""
    headers = request._raw_headers()
    if request.host and not any(name == b"host" for name, _ in headers):
        headers.insert(0, (b"host", request.host.encode()))
    host, separator, port = request.host.rpartition(":")
    if not separator or not port.isdigit():
        host, port = request.host, "443" if request.scheme == "https" else "80"
    return {
        "type": "http",
        "asgi": _VERSIONS,
        "http_version": request.http_version,
        "method": request.method,
        "scheme": request.scheme,
        "path": unquote(request.path),
        "raw_path": request.path.encode(),
        "query_string": request._raw_query(),
        "root_path": "",
        "headers": headers,
        "client": (request.client, 0),
        "server": (host, int(port)),
        "state": state.copy(),
        "extensions": {
            "tidegate": {"request_id": request.id, "route": request.route, "parameters": request.parameters}
        },
    }


class _Exchange:
    """The two channels of one request."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._head: tuple[int, list[tuple[bytes, bytes]]] | None = None
        self._has_started = False
        self._has_ended = False

    async def receive(self) -> Message:
        """The next piece of the request's body, then the disconnect."""
        piece = None if self._has_ended else await self._request._receive()
        if piece is None:
            return {"type": "http.disconnect"}
        body, has_more = piece
        return {"type": "http.request", "body": body, "more_body": has_more}

    async def send(self, message: Message) -> None:
        """A part of the response. The head leaves with the first piece of the body, so that an error
        before it can still become another response."""
        kind = message["type"]
        if kind == "http.response.start" and self._head is None:
            self._head = (message["status"], list(message.get("headers", ())))
        elif kind == "http.response.body" and self._head is not None and not self._has_ended:
            if not self._has_started:
                self._has_started = True
                self._request._start(*self._head)
            has_more = bool(message.get("more_body", False))
            self._has_ended = not has_more
            await self._request._send(bytes(message.get("body", b"")), has_more)
        else:
            raise RuntimeError(f"the message {kind!r} is not expected here")

    def check(self) -> None:
        """Called when the application has returned."""
        if not self._has_ended:
            raise RuntimeError("the application returned before its response was complete")


class Lifespan:
    """The `lifespan` scope: runs beside the requests, from start-up to shutdown."""

    def __init__(self, application: Application) -> None:
        self.state: dict[str, Any] = {}
        self._application = application
        self._to_application: asyncio.Queue[Message] = asyncio.Queue()
        self._from_application: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """Waits until the application has started.

        Raises:
            LoadError: It said that it cannot.
        """
        self._task = asyncio.get_running_loop().create_task(self._run(), name="lifespan")
        answer = await self._ask("lifespan.startup")
        if answer == "lifespan.startup.failed":
            raise LoadError("the application's start-up failed; its log says why")

    async def shutdown(self) -> None:
        """Waits until the application has shut down; returns at once for one without lifespan."""
        if self._task is not None and not self._task.done():
            await self._ask("lifespan.shutdown")

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": _VERSIONS, "state": self.state}
        try:
            await self._application(scope, self._to_application.get, self._from_application.put)
        except Exception:
            # The specification: an application that raises here does not support lifespan.
            return

    async def _ask(self, kind: str) -> str | None:
        assert self._task is not None
        await self._to_application.put({"type": kind})
        answer = asyncio.ensure_future(self._from_application.get())
        await asyncio.wait({answer, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return str(answer.result()["type"])
        answer.cancel()
        return None
