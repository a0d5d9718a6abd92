# SPDX-License-Identifier: Apache-2.0
"""What the services share: an ASGI application with routes, a request log and a health page."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import Any
from urllib.parse import parse_qsl

from shop.requestlog import RequestLog
from shop.settings import Settings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODY_LIMIT = 1 << 20
"""Octets of a request body that a service reads; the largest form here is a hundred."""


@dataclass(frozen=True)
class Request:
    """One request with its body read."""

    method: str
    path: str
    query: Mapping[str, str]
    fields: Mapping[str, str]
    """Header fields by lower-case name; of repeated ones, the values joined by a comma."""
    body: bytes
    parameters: Mapping[str, str]
    """What the `{names}` of the route matched."""

    @cached_property
    def values(self) -> dict[str, str]:
        """The body as names and texts, sent as a form or as a JSON object.

        Raises:
            ValueError: The body is neither.
        """
        kind = self.fields.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            return dict(parse_qsl(self.body.decode(), keep_blank_values=True))
        read = json.loads(self.body or b"{}")
        if not isinstance(read, dict):
            raise ValueError("the body must be a JSON object")
        return {str(name): str(value) for name, value in read.items()}

    @property
    def is_from_page(self) -> bool:
        """Whether a browser sent a form and waits for a page, not for JSON."""
        return "text/html" in self.fields.get("accept", "")


@dataclass(frozen=True)
class Response:
    """A whole answer."""

    status: int = 200
    body: bytes = b""
    fields: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, value: object, status: int = 200) -> Response:
        """`value` as JSON."""
        return cls(status, json.dumps(value).encode() + b"\n", {"content-type": "application/json"})

    @classmethod
    def problem(cls, status: int, detail: str) -> Response:
        """What went wrong, as problem details (RFC 9457)."""
        body = json.dumps({"status": status, "detail": detail}).encode() + b"\n"
        return cls(status, body, {"content-type": "application/problem+json"})

    @classmethod
    def see_other(cls, location: str) -> Response:
        """Sends a browser to a page after a form (RFC 9110 §15.4.4)."""
        return cls(303, b"", {"location": location})


Handler = Callable[[Request], Awaitable[Response]]
Pusher = Callable[[Request], AsyncIterator[str]]
"""Says what is pushed over a WebSocket; when it ends, so does that."""


class Service:
    """An ASGI application: routes in, log lines and answers out.

    Each answer names its instance and zone in `X-Served-By` and `X-Zone`. `GET /healthz` is 200.
    """

    def __init__(self, name: str, settings: Settings | None = None) -> None:
        self.name = name
        self.settings = settings or Settings.from_environment(name)
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = []
        self._pushers: list[tuple[re.Pattern[str], Pusher]] = []
        self._numbers = count(1)
        self._log: RequestLog | None = None
        self.add("GET", "/healthz", self._health)

    def add(self, method: str, template: str, handler: Handler) -> None:
        """Sends `method` on `template` to `handler`; a `{name}` matches one segment."""
        self._routes.append((method, _pattern(template), handler))

    def route(self, method: str, template: str) -> Callable[[Handler], Handler]:
        """`add` as a decorator."""

        def take(handler: Handler) -> Handler:
            self.add(method, template, handler)
            return handler

        return take

    def push(self, template: str) -> Callable[[Pusher], Pusher]:
        """As a decorator: what WebSockets on `template` are told."""

        def take(pusher: Pusher) -> Pusher:
            self._pushers.append((_pattern(template), pusher))
            return pusher

        return take

    @property
    def served_by(self) -> dict[str, str]:
        """The instance and its zone, as part of a JSON answer."""
        return {"instance": self.settings.instance, "zone": self.settings.zone}

    @property
    def log(self) -> RequestLog:
        """The request log, opened by the first request: importing a service writes nothing."""
        if self._log is None:
            path = self.settings.logs / f"{self.settings.instance}.jsonl"
            self._log = RequestLog(path, self.settings.instance, self.settings.zone)
        return self._log

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answers one request (ASGI 3, `http` and `websocket`); other kinds of scope are refused."""
        if scope["type"] == "websocket":
            await self._push(scope, receive, send)
            return
        if scope["type"] != "http":
            raise NotImplementedError(f"{self.name} speaks http only, not {scope['type']}")
        fields = _fields(scope)
        begin = time.perf_counter()
        # Health checks would bury everything else.
        number = 0 if scope["path"] == "/healthz" else next(self._numbers)
        if number:
            self.log.request(number, scope["method"], scope["path"], fields)
        response = await self._answer(scope, fields, receive)
        if number:
            self.log.answer(number, response.status, time.perf_counter() - begin)
        sent = {"content-length": str(len(response.body)), **response.fields}
        sent |= self._signature
        headers = [(name.encode(), value.encode("latin-1")) for name, value in sent.items()]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    @property
    def _signature(self) -> dict[str, str]:
        return {"x-served-by": self.settings.instance, "x-zone": self.settings.zone}

    async def _push(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """A WebSocket: what its pusher says, until that or the client ends."""
        await receive()  # that it was asked for
        found = ((pattern.fullmatch(scope["path"]), pusher) for pattern, pusher in self._pushers)
        match, pusher = next(((match, pusher) for match, pusher in found if match), (None, None))
        if match is None or pusher is None:
            await send({"type": "websocket.close"})
            return
        fields = _fields(scope)
        self.log.request(next(self._numbers), "WEBSOCKET", scope["path"], fields)
        headers = [(name.encode(), value.encode()) for name, value in self._signature.items()]
        await send({"type": "websocket.accept", "headers": headers})
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        said = pusher(Request("GET", scope["path"], query, fields, b"", match.groupdict()))
        gone = asyncio.ensure_future(_gone(receive))
        pushing = asyncio.ensure_future(_push_all(said, send))
        try:
            await asyncio.wait((gone, pushing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            pushing.cancel()

    async def _answer(
        self, scope: Mapping[str, Any], fields: Mapping[str, str], receive: Receive
    ) -> Response:
        handler, parameters, status = self._find(scope["method"], scope["path"])
        if handler is None:
            return Response.problem(status, f"{self.name} has nothing for {scope['method']} {scope['path']}")
        body = await _read(receive)
        if body is None:
            return Response.problem(413, f"at most {BODY_LIMIT} octets")
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        try:
            return await handler(Request(scope["method"], scope["path"], query, fields, body, parameters))
        except ValueError as error:
            return Response.problem(400, str(error))

    def _find(self, method: str, path: str) -> tuple[Handler | None, dict[str, str], int]:
        status = 404
        for allowed, pattern, handler in self._routes:
            match = pattern.fullmatch(path)
            if match and method in (allowed, "HEAD" if allowed == "GET" else allowed):
                return handler, match.groupdict(), 200
            status = 405 if match else status
        return None, {}, status

    async def _health(self, request: Request) -> Response:
        return Response.json({"status": "up", "served_by": self.served_by})


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(template)))


def _fields(scope: Mapping[str, Any]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return fields


async def _push_all(said: AsyncIterator[str], send: Send) -> None:
    try:
        async for text in said:
            await send({"type": "websocket.send", "text": text})
        await send({"type": "websocket.close"})
    except OSError:
        pass  # The client has gone: nobody is left to tell.


async def _gone(receive: Receive) -> None:
    """Returns when the client has gone; what it says before is of no interest."""
    while (await receive())["type"] != "websocket.disconnect":
        pass


async def _read(receive: Receive) -> bytes | None:
    """The whole body, or None when it is longer than the limit or the client went away."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > BODY_LIMIT:
            return None
        if not message.get("more_body", False):
            return bytes(body)
