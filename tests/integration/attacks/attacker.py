# SPDX-License-Identifier: Apache-2.0
"""Plays an attack of `benches/attacks` on one connection, in a thread, until it is cut or told to stop."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time

from benches.attacks import frames
from benches.attacks.attacks import Attack

TIMEOUT = 30.0


class Attacker(threading.Thread):
    """One connection of an attack.

    Attributes:
        cut: Whether the other side ended it.
        code: The code of its GOAWAY, if there was one.
        status: The first answer's, with HTTP/1.1.
        error: What went wrong here.
    """

    def __init__(self, attack: Attack, repeat: bytes, port: int, context: ssl.SSLContext) -> None:
        super().__init__(daemon=True)
        self._attack, self._repeat, self._port, self._context = attack, repeat, port, context
        self.stops = threading.Event()
        self.cut = False
        self.code: int | None = None
        self.status: int | None = None
        self.played = 0
        self.received = bytearray()
        self.error: BaseException | None = None

    def run(self) -> None:
        """Attacks."""
        try:
            with socket.create_connection(("127.0.0.1", self._port), TIMEOUT) as bare:
                if self._attack.over == "tcp":
                    self._play(bare)
                    return
                self._context.set_alpn_protocols(["h2" if self._attack.over == "h2" else "http/1.1"])
                with self._context.wrap_socket(bare, server_hostname="localhost") as wrapped:
                    self._play(wrapped)
        except OSError:
            self.cut = True
        except BaseException as error:
            self.error = error
        finally:
            self._judge()

    def _play(self, connected: socket.socket) -> None:
        every = float(str(self._attack.words.get("every_ms", 0))) / 1000
        opening = self._attack.opening()
        drip = int(str(self._attack.words.get("drip", len(opening) or 1)))
        for at in range(0, len(opening), drip):
            if not self._send(connected, opening[at : at + drip], every if drip < len(opening) else 0):
                return
        step = int(str(self._attack.words.get("step", 0)))
        while self._repeat:
            piece = frames.moved(self._repeat, step * self.played) if step else self._repeat
            if not self._send(connected, piece, every):
                return
            self.played += 1
        while self._send(connected, b"", 0.1):
            pass

    def _send(self, connected: socket.socket, data: bytes, pause: float) -> bool:
        """Sends, reads what is there, and waits; false at the end."""
        connected.settimeout(0.05)
        until = time.monotonic() + pause
        while True:
            if self.stops.is_set():
                return False
            with contextlib.suppress(TimeoutError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                if data:
                    # In pieces: what a call that timed out has sent of more nobody knows.
                    count = connected.send(data[:16_384])
                    data = data[count:]
            waiting = isinstance(connected, ssl.SSLSocket) and connected.pending()
            if waiting or select.select([connected], [], [], 0)[0]:
                with contextlib.suppress(TimeoutError, ssl.SSLWantReadError):
                    came = connected.recv(65_536)
                    if not came:
                        self.cut = True
                        return False
                    self.received += came[: 1 << 20]
            if not data and time.monotonic() >= until:
                return True
            if not data:
                time.sleep(0.01)

    def _judge(self) -> None:
        if self._attack.over == "h1":
            if self.received.startswith(b"HTTP/1.1 "):
                self.status = int(self.received[9:12])
            return
        at = 0
        while at + 9 <= len(self.received):
            length = int.from_bytes(self.received[at : at + 3], "big")
            if self.received[at + 3] == 7:
                self.code = int.from_bytes(self.received[at + 13 : at + 17], "big")
            at += 9 + length
