# SPDX-License-Identifier: Apache-2.0
"""An origin server that speaks HTTP/2, in good order or as badly as a test wants it."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from tidegate.testing import RunningGateway, wait_until

TIMEOUT = 30.0
Field = tuple[str, str]


@dataclass
class Asked:
    """One request, as far as it has come."""

    stream: int
    headers: list[Field]
    body: bytearray = field(default_factory=bytearray)
    trailers: list[Field] = field(default_factory=list)
    ended: bool = False
    reset: int | None = None
    """The code of RST_STREAM."""

    def get(self, name: str) -> str | None:
        """The first value of a field or pseudo field."""
        return next((value for key, value in self.headers if key == name), None)


class Connection:
    """One connection to the origin server; its machine is the test's to use from a handler."""

    def __init__(self, connected: socket.socket, settings: dict[int, int], reads: bool) -> None:
        self.socket = connected
        self.reads = reads
        self.asked: dict[int, Asked] = {}
        self.goaway: h2.events.ConnectionTerminated | None = None
        self.ended = False
        self.pings = 0
        config = h2.config.H2Configuration(
            client_side=False,
            header_encoding="utf-8",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            validate_inbound_headers=True,
        )
        self.machine = h2.connection.H2Connection(config)
        initial = {**dict(self.machine.local_settings), **settings}
        self.machine.local_settings = h2.settings.Settings(client=False, initial_values=initial)  # type: ignore[arg-type]
        self.machine.initiate_connection()
        self.lock = threading.RLock()

    def flush(self) -> None:
        """Sends what the machine has."""
        with self.lock, contextlib.suppress(OSError):
            if data := self.machine.data_to_send():
                self.socket.sendall(data)

    def raw(self, data: bytes) -> None:
        """Sends these bytes behind what the machine has."""
        self.flush()
        with self.lock, contextlib.suppress(OSError):
            self.socket.sendall(data)

    def head(
        self, asked: Asked, status: int = 200, headers: Iterable[Field] = (), ends: bool = False
    ) -> None:
        """Sends the head of a response."""
        with self.lock:
            self.machine.send_headers(asked.stream, [(":status", str(status)), *headers], end_stream=ends)
        self.flush()

    def data(self, asked: Asked, body: bytes, ends: bool = False) -> None:
        """Sends content as windows allow, waiting for them on this thread: from another one than reads."""
        rest = memoryview(body)
        while rest:
            with self.lock:
                if asked.reset is not None or self.ended:
                    return
                room = min(self.machine.local_flow_control_window(asked.stream), 16_384)
                if room > 0:
                    self.machine.send_data(asked.stream, bytes(rest[:room]))
                    rest = rest[room:]
            self.flush()
            if room <= 0:
                threading.Event().wait(0.005)
        if ends:
            with self.lock:
                self.machine.end_stream(asked.stream)
            self.flush()

    def trailers(self, asked: Asked, trailers: Iterable[Field]) -> None:
        """Ends a response with these."""
        with self.lock:
            self.machine.send_headers(asked.stream, list(trailers), end_stream=True)
        self.flush()

    def answer(
        self,
        asked: Asked,
        status: int = 200,
        headers: Iterable[Field] = (),
        body: bytes = b"",
        trailers: Iterable[Field] = (),
    ) -> None:
        """Sends a whole response."""
        with self.lock:
            if asked.reset is not None:
                return
        trailers = list(trailers)
        self.head(asked, status, headers, ends=not body and not trailers)
        if body:
            self.data(asked, body, ends=not trailers)
        if trailers:
            self.trailers(asked, trailers)

    def close(self) -> None:
        """Ends the connection at once."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)


def _fields(headers: Any) -> list[Field]:
    """As the machine decodes them: texts, which its types do not say."""
    return [(name, value) for name, value in headers]


Handler = Callable[[Connection, Asked], None]


def _ok(connection: Connection, asked: Asked) -> None:
    connection.answer(asked, body=b"ok\n")


class Origin:
    """A listening server; `begun` hears of each head, `whole` of each request that has ended."""

    def __init__(
        self,
        whole: Handler | None = _ok,
        begun: Handler | None = None,
        tls: ssl.SSLContext | None = None,
        settings: dict[int, int] | None = None,
        script: Callable[[socket.socket], None] | None = None,
        reads: bool = True,
    ) -> None:
        self.whole, self.begun, self.tls, self.script = whole, begun, tls, script
        self.settings = settings or {}
        self.reads = reads
        self.connections: list[Connection] = []
        self.accepted = 0
        self.chosen: list[str | None] = []
        """What was agreed on by ALPN, for each connection."""
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port: int = self._listening.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def asked(self) -> list[Asked]:
        """All requests, by connection."""
        return [asked for connection in list(self.connections) for asked in list(connection.asked.values())]

    def wait_for(self, count: int) -> list[Asked]:
        """Waits until so many requests have ended."""
        wait_until(lambda: sum(asked.ended for asked in self.asked) >= count, TIMEOUT)
        return self.asked

    def stop(self) -> None:
        """Closes everything."""
        self._listening.close()
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                connected, _ = self._listening.accept()
            except OSError:
                return
            self.accepted += 1
            self._open.append(connected)
            threading.Thread(target=self._serve, args=(connected,), daemon=True).start()

    def _serve(self, connected: socket.socket) -> None:
        connected.settimeout(TIMEOUT)
        try:
            if self.tls is not None:
                connected = self.tls.wrap_socket(connected, server_side=True)
                self.chosen.append(connected.selected_alpn_protocol())
                self._open.append(connected)
            if self.script is not None:
                self.script(connected)
                return
            self._speak(connected)
        except (OSError, h2.exceptions.ProtocolError):
            pass
        finally:
            connected.close()

    def _speak(self, connected: socket.socket) -> None:
        connection = Connection(connected, self.settings, self.reads)
        self.connections.append(connection)
        connection.flush()
        try:
            while data := connected.recv(65_536):
                with connection.lock:
                    events = connection.machine.receive_data(data)
                    for event in events:
                        self._note(connection, event)
                connection.flush()
        finally:
            connection.ended = True

    def _note(self, connection: Connection, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                asked = Asked(event.stream_id, _fields(event.headers))
                connection.asked[event.stream_id] = asked
                if self.begun is not None:
                    self._call(self.begun, connection, asked)
            case h2.events.DataReceived():
                connection.asked[event.stream_id].body += event.data
                if connection.reads:
                    length = event.flow_controlled_length
                    connection.machine.acknowledge_received_data(length, event.stream_id)
            case h2.events.TrailersReceived():
                connection.asked[event.stream_id].trailers = _fields(event.headers)
            case h2.events.StreamEnded():
                asked = connection.asked[event.stream_id]
                asked.ended = True
                if self.whole is not None:
                    self._call(self.whole, connection, asked)
            case h2.events.StreamReset():
                connection.asked[event.stream_id].reset = int(event.error_code)
            case h2.events.ConnectionTerminated():
                connection.goaway = event
            case h2.events.PingReceived():
                connection.pings += 1

    @staticmethod
    def _call(handler: Handler, connection: Connection, asked: Asked) -> None:
        def run() -> None:
            with contextlib.suppress(h2.exceptions.ProtocolError):
                handler(connection, asked)

        threading.Thread(target=run, daemon=True).start()


@contextlib.contextmanager
def origin(*arguments: Any, **more: Any) -> Iterator[Origin]:
    """An origin server for a while."""
    running = Origin(*arguments, **more)
    try:
        yield running
    finally:
        running.stop()


def plain(running: RunningGateway) -> http.client.HTTPConnection:
    """A client of HTTP/1.1."""
    return http.client.HTTPConnection("127.0.0.1", running.port, timeout=TIMEOUT)


def fetch(running: RunningGateway, path: str = "/", **more: Any) -> tuple[int, bytes]:
    """Status and body of one request over HTTP/1.1."""
    connected = plain(running)
    connected.request(more.pop("method", "GET"), path, **more)
    answer = connected.getresponse()
    body = answer.read()
    connected.close()
    return answer.status, body


def to_http2(port: int, route: dict[str, Any] | None = None, listener: object = None, **backend: Any) -> str:
    """One listener for all clients, one backend that speaks HTTP/2, `shop`."""
    tls = {"tls": backend.pop("tls")} if "tls" in backend else {}
    host = "localhost" if tls else "127.0.0.1"
    more = backend.pop("more", {})
    shop = {"endpoints": [f"{host}:{port}"], "http2": True, **tls, **backend}
    return json.dumps(
        {
            "gateway": {"threads": 1, "admin": {"port": 60_999}},
            "listeners": {"web": {"port": 60_080, "http2": True, **(listener or {})}},  # type: ignore[dict-item]
            "backends": {"shop": shop},
            "routes": [{"path": "/", "to": "shop", **(route or {})}],
            **more,
        }
    )
