# SPDX-License-Identifier: Apache-2.0
"""A plain reverse proxy on asyncio with the fastest parts Python has (uvloop, httptools): why there is Rust.

It does what the others do here and no more: keep-alive on both sides, the less busy of two origin servers,
hop-by-hop fields removed, forwarding fields added, a JSON log line per request, counters.
Usage: `asyncio_proxy.py LISTEN_PORT LOG_FILE ORIGIN_PORT... [-- PATH_PREFIX...]`.
"""

import asyncio
import json
import sys
import time
from collections import deque
from types import SimpleNamespace

import httptools
import uvloop

HOP_BY_HOP = frozenset((b"connection", b"keep-alive", b"te", b"transfer-encoding", b"upgrade"))
HIGH_WATER = 1 << 20
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Side(asyncio.Protocol):
    """What both kinds of connection do: collect the fields of a message that travel on."""

    def connection_made(self, transport):
        self.transport, self.fields, self.held = transport, [], None

    def data_received(self, data):
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, AttributeError):
            self.transport.abort()

    def on_header(self, name, value):
        if name.lower() not in HOP_BY_HOP:
            self.fields.append(b"%b: %b\r\n" % (name, value))


class Upstream(Side):
    """One connection to an origin server; hands each answer to the client that asked."""

    def __init__(self, endpoint):
        self.endpoint, self.client = endpoint, None

    def ask(self, client, request):
        self.client, self.parser = client, httptools.HttpResponseParser(self)
        self.fields, self.bytes = [], 0
        self.endpoint.in_flight += 1
        self.transport.write(request)

    def on_headers_complete(self):
        self.status = self.parser.get_status_code()
        close = b"Connection: close\r\n" if self.client.closing else b""
        self.head = b"HTTP/1.1 %d \r\n%bVia: 1.1 asyncio\r\n%b\r\n" % (
            self.status,
            b"".join(self.fields),
            close,
        )

    def on_body(self, body):
        self.bytes += len(body)
        self.client.transport.write(self.head + body)
        self.head = b""
        if self.client.transport.get_write_buffer_size() > HIGH_WATER:
            self.transport.pause_reading()
            self.client.held = self.transport

    def on_message_complete(self):
        if self.head:
            self.client.transport.write(self.head)
        client, self.client = self.client, None
        self.endpoint.in_flight -= 1
        if self.parser.should_keep_alive():
            self.endpoint.idle.append(self)
        client.proxy.log(client, self)
        if client.closing:
            client.transport.close()

    def connection_lost(self, error):
        if self in self.endpoint.idle:
            self.endpoint.idle.remove(self)
        elif self.client:
            self.endpoint.in_flight -= 1
            self.client.transport.abort()


class Client(Side):
    """One client connection; pipelined requests are not served, which no client here sends."""

    def __init__(self, proxy):
        self.proxy, self.parser = proxy, httptools.HttpRequestParser(self)

    def on_url(self, url):
        self.url = url

    def on_message_complete(self):
        self.started, self.method = time.perf_counter(), self.parser.get_method()
        self.closing = not self.parser.should_keep_alive()
        self.address = self.transport.get_extra_info("peername")[0]
        if self.proxy.prefixes and self.url.split(b"/", 2)[1] not in self.proxy.prefixes:
            self.transport.write(NOT_FOUND)
            return self.transport.close()
        self.fields.append(b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: http\r\n" % self.address.encode())
        request = b"%b %b HTTP/1.1\r\n%b\r\n" % (self.method, self.url, b"".join(self.fields))
        self.fields.clear()
        endpoint = min(self.proxy.endpoints, key=lambda one: one.in_flight)
        if endpoint.idle:
            return endpoint.idle.pop().ask(self, request)
        self.task = asyncio.ensure_future(self.proxy.connect(endpoint, self, request))

    def resume_writing(self):
        if self.held:
            self.held.resume_reading()
            self.held = None


class Proxy:
    """The whole: endpoints (port, idle connections, requests out), routes, log and counters."""

    def __init__(self, log_path, ports, prefixes):
        self.endpoints = [SimpleNamespace(port=port, idle=deque(), in_flight=0) for port in ports]
        self.prefixes = frozenset(prefix.encode() for prefix in prefixes)
        self.file, self.requests = open(log_path, "a", 1 << 16, encoding="utf-8"), {}  # noqa: SIM115

    async def connect(self, endpoint, client, request):
        loop = asyncio.get_running_loop()
        _, upstream = await loop.create_connection(lambda: Upstream(endpoint), "127.0.0.1", endpoint.port)
        upstream.ask(client, request)

    def log(self, client, upstream):
        self.requests[upstream.status] = self.requests.get(upstream.status, 0) + 1
        line = {"time": time.time(), "client": client.address, "method": client.method.decode()}
        line |= {"path": client.url.decode(), "status": upstream.status, "bytes": upstream.bytes}
        line |= {"endpoint": upstream.endpoint.port, "ms": (time.perf_counter() - client.started) * 1000}
        self.file.write(json.dumps(line) + "\n")


async def main(port, log_path, *rest):
    split = rest.index("--") if "--" in rest else len(rest)
    proxy = Proxy(log_path, [int(one) for one in rest[:split]], rest[split + 1 :])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Client(proxy), "127.0.0.1", int(port), backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
