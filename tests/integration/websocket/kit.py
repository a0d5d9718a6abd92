# SPDX-License-Identifier: Apache-2.0
"""A server of WebSockets that is not ours, and clients of them on streams of HTTP/2 and HTTP/3."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode
from websockets.protocol import CLIENT, OPEN, Protocol
from websockets.sync.server import ServerConnection, serve

import tests.integration.http2.client as of_http2
import tests.integration.http3.client as of_http3
from tests.integration.http2.test_tunnels import connect as connect_http2
from tests.integration.http3.test_tunnels import connect as connect_http3
from tests.integration.tls import client as tls
from tests.integration.tls.authority import Authority, Pair

TIMEOUT = 30.0


class Origin:
    """An origin server that says what it hears, and notes how its connections end."""

    def __init__(self) -> None:
        self.ends: list[int | None] = []
        self.heard: list[int] = []
        self._changed = threading.Condition()

    def talk(self, connection: ServerConnection) -> None:
        try:
            for message in connection:
                self.heard.append(len(message))
                connection.send(message)
        except ConnectionClosed:
            pass
        with self._changed:
            self.ends.append(connection.close_code)
            self._changed.notify_all()

    def end(self) -> int | None:
        """How the first connection ended, once it has."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.ends, TIMEOUT)
            return self.ends[0]


@contextmanager
def origin() -> Iterator[tuple[Origin, int]]:
    """One of these, and its port."""
    seen = Origin()
    with serve(seen.talk, "127.0.0.1", 0, max_size=None, ping_interval=None, close_timeout=1) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield seen, server.socket.getsockname()[1]
        finally:
            server.shutdown()
            thread.join()


class Talk:
    """A WebSocket on one stream of a connection; pings are answered as they are read."""

    def __init__(self, connected: Any, stream: int) -> None:
        """It is asked for already."""
        self.connected, self.stream = connected, stream
        self._machine = Protocol(CLIENT, state=OPEN, max_size=None)
        self._frames: list[Any] = []

    @property
    def answer(self) -> Any:
        """What has come on the stream."""
        return self.connected.answers[self.stream]

    def status(self) -> int:
        """Waits for the answer's head."""
        while not self.answer.status:
            assert self.connected.step(), self.answer
        return int(self.answer.status)

    def send(self, *pieces: bytes) -> None:
        """A message, each piece in a frame of its own."""
        for number, piece in enumerate(pieces, 1):
            say = self._machine.send_binary if number == 1 else self._machine.send_continuation
            say(piece, fin=number == len(pieces))
        self._flush()

    def raw(self, data: bytes) -> None:
        """Bytes as they are."""
        self.connected.upload(self.stream, data, ends=False)

    def hear(self) -> bytes:
        """The next message."""
        message: bytes = b""
        while True:
            frame = self._frame()
            if frame.opcode is Opcode.PING:
                continue
            assert frame.opcode is not Opcode.CLOSE, self._machine.close_rcvd
            message += frame.data
            if frame.fin:
                return message

    def hear_ping(self) -> None:
        """Waits for the next ping, which no message comes before, and answers it."""
        assert self._frame().opcode is Opcode.PING

    def end(self) -> int:
        """Waits for its end, which nothing comes before; the code that it was told with."""
        assert self._frame().opcode is Opcode.CLOSE
        [answer] = self.connected.wait(self.stream)
        assert answer.ended and not answer.body, answer
        assert self._machine.close_rcvd is not None
        return int(self._machine.close_rcvd.code)

    def _frame(self) -> Any:
        """The next frame."""
        while not self._frames:
            while not self.answer.body:
                assert not self.answer.is_over and self.connected.step(), self.answer
            self._machine.receive_data(bytes(self.answer.body))
            self.answer.body.clear()
            self._frames += self._machine.events_received()
            self._flush()
        return self._frames.pop(0)

    def _flush(self) -> None:
        for data in self._machine.data_to_send():
            if data and not self.answer.is_over:
                self.raw(data)


@dataclass
class Version:
    """How WebSockets are asked for in one version of HTTP."""

    scheme: str
    listener: dict[str, Any]
    to_port: Callable[[int], AbstractContextManager[Any]]
    connect: Callable[..., int]

    def chat(self, port: int, **settings: object) -> str:
        """A gateway before an origin server at `port`, with more settings of the route."""
        route = {"path": "/chat", "to": f"http://127.0.0.1:{port}", **settings}
        return tls.configuration(self.listener, route, tls.HERE)

    def ask(self, connected: Any, **more: Any) -> Talk:
        """Asks for a WebSocket."""
        return Talk(connected, self.connect(connected, **more))

    def opened(self, connected: Any, **more: Any) -> Talk:
        """A WebSocket that is open."""
        talk = self.ask(connected, **more)
        assert talk.status() == 200
        return talk


def http2() -> Version:
    """HTTP/2 without TLS (RFC 8441)."""
    return Version("http", {"port": 60_080, "http2": True}, of_http2.to_port, connect_http2)


def http3(authority: Authority, pair: Pair) -> Version:
    """HTTP/3 (RFC 9220)."""
    to_port = partial(of_http3.to_port, authority=authority)
    return Version("https", of_http3.listener_of(pair), to_port, connect_http3)
