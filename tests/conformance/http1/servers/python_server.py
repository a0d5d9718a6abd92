# SPDX-License-Identifier: Apache-2.0
"""Recorders on Python's servers: `python python_server.py NAME`. Each prints its port.

What a recorder took a request for is in the response's `X-Echo-*`; `/echo-count` tells how many it saw.
"""

# mypy: ignore-errors

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
from itertools import count as counter

numbers = counter(1)
seen = 0


def record() -> None:
    """Counts one message."""
    global seen
    seen = next(numbers)


def counted() -> bytes:
    """The answer to /echo-count."""
    return json.dumps({"count": seen, "malformed": 0}).encode()


def echo(method: str, target: str, host: str, length: int) -> list[tuple[str, str]]:
    """The fields of a response."""
    fields = [("X-Echo-Method", method), ("X-Echo-Target", target), ("X-Echo-Host", host)]
    return [*fields, ("X-Echo-Length", str(length)), ("Content-Type", "text/plain")]


async def asgi(scope, receive, send) -> None:
    """For uvicorn."""
    if scope["type"] != "http":
        return
    target = scope["raw_path"].decode("latin-1")
    if scope["query_string"]:
        target += "?" + scope["query_string"].decode("latin-1")
    length, more = 0, True
    while more:
        message = await receive()
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    if target == "/echo-count":
        body, fields = counted(), []
    else:
        record()
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        body, fields = b"ok", echo(scope["method"], target, host, length)
    encoded = [(name.lower().encode(), value.encode("latin-1")) for name, value in fields]
    encoded.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": encoded})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def wsgi(environ, start_response):
    """For gunicorn."""
    length = len(environ["wsgi.input"].read())
    if environ["RAW_URI"] == "/echo-count":
        body, fields = counted(), []
    else:
        record()
        body = b"ok"
        fields = echo(environ["REQUEST_METHOD"], environ["RAW_URI"], environ.get("HTTP_HOST", ""), length)
    start_response("200 OK", [*fields, ("Content-Length", str(len(body)))])
    return [body]


def run_uvicorn(bound: socket.socket, implementation: str) -> None:
    """uvicorn with one of its two parsers."""
    import uvicorn

    config = uvicorn.Config(
        asgi, http=implementation, ws="none", lifespan="off", log_level="error", proxy_headers=False
    )
    uvicorn.Server(config).run(sockets=[bound])


def run_gunicorn(bound: socket.socket) -> None:
    """gunicorn with threads, which keeps connections."""
    os.set_inheritable(bound.fileno(), True)
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    options = [
        "--bind",
        f"fd://{bound.fileno()}",
        "--worker-class",
        "gthread",
        "--threads",
        "8",
        "--workers",
        "1",
    ]
    options += ["--log-level", "critical", "--no-control-socket"]
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", *options, "python_server:wsgi"])


def run_aiohttp(bound: socket.socket) -> None:
    """aiohttp's own server, below its router."""
    import asyncio

    from aiohttp import web

    async def handle(request):
        body = await request.read()
        if request.raw_path == "/echo-count":
            return web.Response(body=counted())
        record()
        fields = echo(request.method, request.raw_path, request.headers.get("Host", ""), len(body))
        fields += [("X-Echo-Coded", "yes")] if "Content-Encoding" in request.headers else []
        return web.Response(
            body=b"ok",
            headers=dict(fields),
        )

    async def main():
        runner = web.ServerRunner(web.Server(handle))
        await runner.setup()
        await web.SockSite(runner, bound).start()
        await asyncio.Event().wait()

    asyncio.run(main())


def run_h11(bound: socket.socket) -> None:
    """h11 alone, a thread per connection."""
    import h11

    def serve(connected):
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=65536)
        request, length = None, 0
        while True:
            try:
                event = connection.next_event()
            except h11.RemoteProtocolError:
                connected.sendall(
                    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
                )
                return
            if event is h11.NEED_DATA:
                if connection.they_are_waiting_for_100_continue:
                    connected.sendall(connection.send(h11.InformationalResponse(status_code=100, headers=[])))
                connection.receive_data(connected.recv(65536))
            elif isinstance(event, h11.Request):
                request, length = event, 0
            elif isinstance(event, h11.Data):
                length += len(event.data)
            elif isinstance(event, h11.EndOfMessage):
                connected.sendall(answer(connection, request, length))
                if connection.our_state is h11.MUST_CLOSE:
                    return
                connection.start_next_cycle()
            else:
                return

    def answer(connection, request, length):
        target = request.target.decode("latin-1")
        body, fields = counted(), []
        if target != "/echo-count":
            record()
            host = dict(request.headers).get(b"host", b"").decode("latin-1")
            body, fields = b"ok", echo(request.method.decode("latin-1"), target, host, length)
        fields.append(("Content-Length", str(len(body))))
        data = connection.send(h11.Response(status_code=200, headers=fields))
        data += connection.send(h11.Data(data=body if request.method != b"HEAD" else b"")) or b""
        return data + (connection.send(h11.EndOfMessage()) or b"")

    def guarded(connected):
        # The gateway may close at any time.
        with connected, contextlib.suppress(OSError):
            serve(connected)

    while True:
        threading.Thread(target=guarded, args=(bound.accept()[0],), daemon=True).start()


if __name__ == "__main__":
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(listening.getsockname()[1], flush=True)
    name = sys.argv[1]
    if name.startswith("uvicorn-"):
        run_uvicorn(listening, name.removeprefix("uvicorn-"))
    else:
        {"gunicorn": run_gunicorn, "aiohttp": run_aiohttp, "h11": run_h11}[name](listening)
