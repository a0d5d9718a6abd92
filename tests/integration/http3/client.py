# SPDX-License-Identifier: Apache-2.0
"""A client that speaks HTTP/3, whose frames and packets a test can hold back or spoil."""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.tls import SessionTicket

from tests.integration.tls.authority import Authority, Pair
from tidegate.testing import RunningGateway

TIMEOUT = 30.0
Field = tuple[str, str]


def listener_of(pair: Pair, **more: object) -> dict[str, Any]:
    """A listener that speaks HTTP/3 as well."""
    return {**pair.listener(), "http3": True, **more}


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
    """The code of RESET_STREAM."""
    stopped: int | None = None
    """The code of STOP_SENDING."""

    def get(self, name: str) -> str | None:
        """The first value of a field."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def is_over(self) -> bool:
        return self.ended or self.reset is not None


class _Machine(H3Connection):
    """Knows that the answer to a HEAD tells a length and has no content."""

    more: ClassVar[dict[int, int]] = {}
    """Settings that a test adds."""

    def _check_content_length(self, stream: Any) -> None:
        pass

    def _get_local_settings(self) -> dict[int, int]:
        return super()._get_local_settings() | self.more


class Client:
    """One connection, over a socket of its own that a test may exchange for another."""

    def __init__(
        self,
        port: int,
        authority: Authority | None,
        name: str = "localhost",
        certificate: Pair | None = None,
        ticket: SessionTicket | None = None,
        source: str = "",
        alpn: str = "h3",
        settings: dict[int, int] | None = None,
        **more: Any,
    ) -> None:
        """Nothing is waited for yet.

        Args:
            port: The listener's, on 127.0.0.1.
            authority: Who is believed; without one everybody.
            name: The host that is asked for.
            certificate: What is shown to who asks for one.
            ticket: What an earlier session left.
            source: The address packets come from.
            alpn: What is to be spoken inside.
            settings: What is said of HTTP/3 besides what has to be.
            more: Settings of QUIC.
        """
        configuration = QuicConfiguration(alpn_protocols=[alpn], server_name=name, **more)
        if authority is None:
            configuration.verify_mode = ssl.CERT_NONE
        else:
            configuration.load_verify_locations(str(authority.file))
        if certificate is not None:
            configuration.load_cert_chain(certificate.cert, certificate.key)
        configuration.session_ticket = ticket
        self.tickets: list[SessionTicket] = []
        self.quic = QuicConnection(configuration=configuration, session_ticket_handler=self.tickets.append)
        self.peer = ("127.0.0.1", port)
        self.settings = settings or {}
        self.socket = _socket(source)
        self.answers: dict[int, Answer] = {}
        self.terminated: events.ConnectionTerminated | None = None
        self.shaken: events.HandshakeCompleted | None = None
        self.goaway: int | None = None
        self.http: H3Connection | None = None
        self.quic.connect(self.peer, now=time.monotonic())
        self.flush()

    def close(self) -> None:
        """Ends the connection and tells the server."""
        if self.terminated is None:
            self.quic.close(error_code=0x100)
            self.flush()
        self.socket.close()

    def shake(self) -> Client:
        """Waits for the handshake, and begins HTTP/3."""
        while self.shaken is None:
            assert self.step(), f"no handshake: {self.terminated}"
        machine = type("Machine", (_Machine,), {"more": self.settings})
        self.http = machine(self.quic)
        self.flush()
        return self

    def move(self, source: str = "") -> None:
        """Goes on from another port, as behind a NAT that has forgotten the connection."""
        self.socket.close()
        self.socket = _socket(source)

    def flush(self) -> None:
        """Sends what there is."""
        for data, _ in self.quic.datagrams_to_send(now=time.monotonic()):
            self.socket.sendto(data, self.peer)

    def step(self, patience: float = TIMEOUT) -> bool:
        """Deals with what comes next; false at the connection's end."""
        if self.terminated is not None:
            return False
        now = time.monotonic()
        timer = self.quic.get_timer()
        wait = max(0.0, min(patience, (timer - now) if timer is not None else patience))
        ready, _, _ = select.select([self.socket], [], [], wait)
        if ready:
            self.quic.receive_datagram(self.socket.recv(65_536), self.peer, now=time.monotonic())
        elif timer is not None and time.monotonic() >= timer:
            self.quic.handle_timer(now=time.monotonic())
        while (event := self.quic.next_event()) is not None:
            self._note(event)
        self.flush()
        return self.terminated is None

    def _note(self, event: events.QuicEvent) -> None:
        match event:
            case events.HandshakeCompleted():
                self.shaken = event
            case events.ConnectionTerminated():
                self.terminated = event
            case events.StreamReset():
                self.answers.setdefault(event.stream_id, Answer()).reset = event.error_code
            case events.StopSendingReceived():
                self.answers.setdefault(event.stream_id, Answer()).stopped = event.error_code
            case events.StreamDataReceived() if event.stream_id == 3:
                self._control(event.data)
        if self.http is not None:
            for each in self.http.handle_event(event):
                self._take(each)

    def _control(self, data: bytes) -> None:
        """Notes a GOAWAY; each is a frame of its own where it comes."""
        if data[:1] == b"\x07":
            length = 1 << (data[2] >> 6)
            number = int.from_bytes(data[2 : 2 + length], "big")
            self.goaway = number & ((1 << (8 * length - 2)) - 1)
            self._control(data[2 + length :])

    def _take(self, event: H3Event) -> None:
        match event:
            case HeadersReceived():
                answer = self.answers.setdefault(event.stream_id, Answer())
                headers = [(name.decode(), value.decode()) for name, value in event.headers]
                status = int(dict(headers).get(":status", 0))
                if answer.status >= 200:
                    answer.trailers = headers
                elif status < 200:
                    answer.interim.append(status)
                else:
                    answer.status, answer.headers = status, headers
                answer.ended |= event.stream_ended
            case DataReceived():
                answer = self.answers.setdefault(event.stream_id, Answer())
                answer.body += event.data or b""
                answer.ended |= event.stream_ended

    def send(
        self,
        path: str = "/",
        method: str = "GET",
        headers: Iterable[Field] = (),
        body: bytes | None = None,
        trailers: Iterable[Field] = (),
        ends: bool = True,
        host: str = "localhost",
        pseudo: Iterable[Field] = (),
    ) -> int:
        """Sends a request; returns its stream."""
        assert self.http is not None
        stream = self.quic.get_next_available_stream_id()
        known = [(":method", method), (":scheme", "https"), (":authority", host), (":path", path), *pseudo]
        ends_now = body is None and ends
        self.http.send_headers(stream, coded([*known, *headers]), end_stream=ends_now)
        self.answers.setdefault(stream, Answer())
        if body is not None:
            self.http.send_data(stream, body, end_stream=ends and not trailers)
        if trailers:
            self.http.send_headers(stream, coded(trailers), end_stream=True)
        self.flush()
        return stream

    def upload(self, stream: int, body: bytes, ends: bool = True) -> None:
        """Sends content."""
        assert self.http is not None
        self.http.send_data(stream, body, end_stream=ends)
        self.flush()

    def raw(self, data: bytes, stream: int | None = None, ends: bool = False, uni: bool = False) -> int:
        """Sends bytes as they are, on a stream of their own if none is named; returns it."""
        if stream is None:
            stream = self.quic.get_next_available_stream_id(is_unidirectional=uni)
        self.quic.send_stream_data(stream, data, ends)
        self.answers.setdefault(stream, Answer())
        self.flush()
        return stream

    def wait(self, *streams: int) -> list[Answer]:
        """Waits until these streams are over."""
        answers = [self.answers[stream] for stream in streams]
        while not all(answer.is_over for answer in answers):
            assert self.step(), f"the connection ended: {answers}, {self.terminated}"
        return answers

    def ask(self, path: str = "/", **parts: Any) -> Answer:
        """One request and its answer."""
        return self.wait(self.send(path, **parts))[0]

    def wait_for_end(self) -> int:
        """Reads to the connection's end; its code."""
        limit = time.monotonic() + TIMEOUT
        while self.step() and time.monotonic() < limit:
            pass
        assert self.terminated is not None, "it did not end"
        return self.terminated.error_code


def _socket(source: str) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if source:
        opened.bind((source, 0))
    return opened


def coded(fields: Iterable[Field]) -> list[tuple[bytes, bytes]]:
    """Fields as bytes."""
    return [(name.encode(), value.encode()) for name, value in fields]


@contextmanager
def to_port(port: int, authority: Authority | None, **more: Any) -> Iterator[Client]:
    """A connection on which HTTP/3 has begun."""
    connected = Client(port, authority, **more)
    try:
        yield connected.shake()
    finally:
        connected.close()


def client(running: RunningGateway, authority: Authority | None, **more: Any) -> Any:
    """A connection to the one listener on which HTTP/3 has begun."""
    return to_port(running.port, authority, **more)
