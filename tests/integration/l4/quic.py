# SPDX-License-Identifier: Apache-2.0
"""Both ends of a connection of QUIC that is passed on: a server, and clients that have it hard."""

from __future__ import annotations

import asyncio
import secrets
import socket
import threading
import time
from typing import Any, Self

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import QuicServer, serve
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, ProtocolNegotiated, QuicEvent

from tests.integration.http3.client import TIMEOUT, Client
from tests.integration.tls.authority import Authority
from tidegate.testing import RunningGateway, gateway


class _Echo(QuicConnectionProtocol):
    """Answers each request with its server's name, and then with what comes."""

    server: Server

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ProtocolNegotiated):
            self.http = H3Connection(self._quic)
            self.server.opened += 1
        elif isinstance(event, ConnectionTerminated):
            self.server.closed += 1
        for each in self.http.handle_event(event) if hasattr(self, "http") else ():
            if isinstance(each, HeadersReceived):
                self.http.send_headers(each.stream_id, [(b":status", b"200")])
                self.http.send_data(each.stream_id, self.server.name, end_stream=each.stream_ended)
            elif isinstance(each, DataReceived):
                self.http.send_data(each.stream_id, each.data, end_stream=each.stream_ended)
        self.transmit()


class Server:
    """A server of HTTP/3 on loopback, in a thread of its own."""

    def __init__(self, authority: Authority, name: str, retry: bool = False, **more: Any) -> None:
        """Serves at once.

        Args:
            authority: Who signs for it.
            name: Its host, and what it answers with.
            retry: Whether clients have to come with a token.
            more: Settings of QUIC.
        """
        self.name, self.opened, self.closed = name.encode(), 0, 0
        pair = authority.pair(name, file=f"quic-{name}")
        self._configuration = QuicConfiguration(is_client=False, alpn_protocols=["h3"], **more)
        self._configuration.load_cert_chain(pair.cert, pair.key)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(retry, started), daemon=True)
        self._thread.start()
        assert started.wait(TIMEOUT)

    def _run(self, retry: bool, started: threading.Event) -> None:
        made = type("Echo", (_Echo,), {"server": self})

        async def start() -> QuicServer:
            return await serve(
                "127.0.0.1", self.port, configuration=self._configuration, create_protocol=made, retry=retry
            )

        serving = self._loop.run_until_complete(start())
        started.set()
        self._loop.run_forever()
        serving.close()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(TIMEOUT)


def passing(routes: str, threads: int = 1, listener: str = "") -> RunningGateway:
    """A gateway with one listener of UDP, by its routes."""
    text = f"""
gateway: {{ admin: {{ port: 0 }} }}
listeners: {{ game: {{ port: 0, protocol: udp, {listener} }} }}
routes:
{routes}
"""
    return gateway(text, threads=threads)


def client(
    running: RunningGateway | int, authority: Authority, name: str, kind: type[Client] = Client, **more: Any
) -> Client:
    """A client that asks for `name`; nothing is waited for."""
    port = running if isinstance(running, int) else running.ports["game"]
    return kind(port, authority, name=name, **more)


def said(connected: Client) -> bytes:
    """What the server at the other end is called; ends the connection."""
    try:
        return bytes(connected.shake().ask().body)
    finally:
        connected.close()


class Backwards(Client):
    """Sends its packets in the wrong order for as long as nothing has come back."""

    def flush(self) -> None:
        """Sends what there is, the last first."""
        sent = self.quic.datagrams_to_send(now=time.monotonic())
        for data, _ in sent if self.shaken else reversed(sent):
            self.socket.sendto(data, self.peer)


def of_version(version: int, kind: int = 0, destination: bytes = b"", size: int = 1200) -> bytes:
    """A packet with a long header, and nothing that could be read in it."""
    destination = destination or secrets.token_bytes(8)
    head = bytes([0xC0 | kind << 4]) + version.to_bytes(4, "big")
    head += bytes([len(destination)]) + destination + b"\x08" + secrets.token_bytes(8)
    head += b"\x00" if kind == 0 and version else b""
    length = size - len(head) - 2
    return head + (0x4000 | length).to_bytes(2, "big") + secrets.token_bytes(length)
