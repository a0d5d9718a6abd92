# SPDX-License-Identifier: Apache-2.0
"""A client that speaks HTTP/2, whose frames a test can hold back or spoil."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.events
from hyperframe.frame import Frame, GoAwayFrame

from tidegate.testing import RunningGateway

TIMEOUT = 30.0
HERE = {"path": "/", "to": {"respond": {"status": 200, "body": "here"}}}
Field = tuple[str, str]


def configuration(
    *routes: object, listener: Mapping[str, object] | None = None, settings: object = None, **more: object
) -> str:
    """A configuration with one listener, `web`, that takes HTTP/2 without TLS."""
    web = {"port": 60_080, "http2": True, **(listener or {})}
    gateway = {"threads": 1, "admin": {"port": 60_999}, **(settings or {})}  # type: ignore[dict-item]
    text = {"gateway": gateway, "listeners": {"web": web}}
    return json.dumps({**text, "routes": list(routes) or [HERE], **more})


@dataclass
class Answer:
    """What came on one stream."""

    status: int = 0
    headers: list[Field] = field(default_factory=list)
    interim: list[int] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    trailers: list[Field] = field(default_factory=list)
    ended: bool = False
    reset: int | None = None
    """The code of RST_STREAM."""

    def get(self, name: str) -> str | None:
        """The first value of a field."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def is_over(self) -> bool:
        return self.ended or self.reset is not None


class _Machine(h2.connection.H2Connection):
    """Goes on after a GOAWAY, as RFC 9113 §6.8 has it: streams that were begun are finished."""

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[h2.events.Event]]:
        event = h2.events.ConnectionTerminated()
        event.error_code, event.last_stream_id = frame.error_code, frame.last_stream_id
        return [], [event]


class Client:
    """One connection. Windows are opened as data comes, unless `reads` is off."""

    def __init__(self, connected: socket.socket, reads: bool = True) -> None:
        self.socket = connected
        self.socket.settimeout(TIMEOUT)
        self.reads = reads
        self.answers: dict[int, Answer] = {}
        self.goaway: h2.events.ConnectionTerminated | None = None
        self.closed = False
        self.pings = 0
        """Answers to PING."""
        config = h2.config.H2Configuration(
            header_encoding="utf-8",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.machine = _Machine(config)
        self.machine.initiate_connection()
        self.flush()

    def flush(self) -> None:
        """Sends what the machine has."""
        if data := self.machine.data_to_send():
            self.socket.sendall(data)

    def send(
        self,
        path: str = "/",
        method: str = "GET",
        headers: Iterable[Field] = (),
        body: bytes | None = None,
        trailers: Iterable[Field] = (),
        ends: bool = True,
        host: str = "localhost",
    ) -> int:
        """Sends a request, as far as windows allow at once; returns its stream."""
        stream = self.machine.get_next_available_stream_id()
        pseudo = [(":method", method), (":scheme", "http"), (":authority", host), (":path", path)]
        self.machine.send_headers(stream, [*pseudo, *headers], end_stream=body is None and ends)
        self.answers[stream] = Answer()
        if body is not None:
            self.upload(stream, body, ends=ends and not trailers)
        if trailers:
            self.machine.send_headers(stream, list(trailers), end_stream=True)
        self.flush()
        return stream

    def upload(self, stream: int, body: bytes, ends: bool = True) -> None:
        """Sends content, waiting for windows."""
        rest = memoryview(body)
        while rest:
            room = min(self.machine.local_flow_control_window(stream), 16_384)
            if room <= 0:
                self.flush()
                self.step()
                continue
            self.machine.send_data(stream, bytes(rest[:room]))
            rest = rest[room:]
            self.flush()
        if ends:
            self.machine.end_stream(stream)
        self.flush()

    def step(self) -> bool:
        """Reads once; false at the connection's end."""
        try:
            data = self.socket.recv(65_536)
        except (ConnectionError, ssl.SSLError):
            data = b""
        if not data:
            self.closed = True
            return False
        for event in self.machine.receive_data(data):
            self._note(event)
        with suppress(ConnectionError):
            self.flush()
        return True

    def _note(self, event: h2.events.Event) -> None:
        answer = self.answers.setdefault(getattr(event, "stream_id", 0) or 0, Answer())
        match event:
            case h2.events.InformationalResponseReceived():
                answer.interim.append(int(event.headers[0][1]))
            case h2.events.ResponseReceived():
                answer.headers = list(event.headers)  # type: ignore[arg-type]
                answer.status = int(answer.get(":status") or 0)
            case h2.events.DataReceived():
                answer.body += event.data
                if self.reads and event.flow_controlled_length:
                    self.machine.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.TrailersReceived():
                answer.trailers = list(event.headers)  # type: ignore[arg-type]
            case h2.events.StreamEnded():
                answer.ended = True
            case h2.events.StreamReset():
                answer.reset = int(event.error_code)
            case h2.events.PingAckReceived():
                self.pings += 1
            case h2.events.ConnectionTerminated():
                self.goaway = event

    def wait(self, *streams: int) -> list[Answer]:
        """Waits until these streams are over."""
        answers = [self.answers[stream] for stream in streams]
        while not all(answer.is_over for answer in answers):
            assert self.step(), f"the connection ended: {answers}, {self.goaway}"
        return answers

    def ask(self, path: str = "/", **parts: Any) -> Answer:
        """One request and its answer."""
        return self.wait(self.send(path, **parts))[0]

    def wait_for_end(self) -> int | None:
        """Reads to the connection's end; the code of its GOAWAY."""
        while not self.closed:
            self.step()
        return None if self.goaway is None else int(self.goaway.error_code or 0)


@contextmanager
def to_port(port: int, reads: bool = True) -> Iterator[Client]:
    """A connection without TLS."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as connected:
        yield Client(connected, reads)


def client(running: RunningGateway, reads: bool = True) -> AbstractContextManager[Client]:
    """A connection without TLS to the one listener."""
    return to_port(running.port, reads)


@contextmanager
def secured(running: RunningGateway, context: ssl.SSLContext, name: str = "localhost") -> Iterator[Client]:
    """A connection with TLS on which HTTP/2 was agreed on."""
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", running.port), TIMEOUT) as connected,
        context.wrap_socket(connected, server_hostname=name) as wrapped,
    ):
        assert wrapped.selected_alpn_protocol() == "h2"
        yield Client(wrapped)
