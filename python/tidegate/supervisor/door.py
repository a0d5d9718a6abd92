# SPDX-License-Identifier: Apache-2.0
"""Where the supervisor itself answers: `supervisor.sock`, while control is being replaced, too."""

import os
import socket

from tidegate.protocol import Message
from tidegate.supervisor.control import Handler
from tidegate.supervisor.loop import Loop
from tidegate.supervisor.peer import Peer

MOST = 16
"""Conversations at a time; who comes when there are so many is closed at once."""


class Door:
    """Answers whoever may open the socket's file: the user that started the gateway."""

    def __init__(self, loop: Loop, listener: socket.socket, on_request: Handler) -> None:
        """Takes a listening Unix socket; `on_request` gets the type, the message and what to answer with."""
        self._loop = loop
        self._listener = listener
        self._on_request = on_request
        self._peers: set[Peer] = set()
        listener.setblocking(False)
        loop.watch(listener.fileno(), lambda _events: self._accept())

    def hand_on(self) -> int:
        """Makes the listening socket survive `exec`; returns its descriptor."""
        os.set_inheritable(self._listener.fileno(), True)
        return self._listener.fileno()

    def keep(self) -> None:
        """Takes `hand_on` back: there was no `exec`."""
        os.set_inheritable(self._listener.fileno(), False)

    def close(self) -> None:
        """Closes the socket and every conversation."""
        self._loop.unwatch(self._listener.fileno())
        self._listener.close()
        for peer in list(self._peers):
            peer.close()

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        if len(self._peers) >= MOST:
            connection.close()
            return
        peer = Peer(
            self._loop,
            connection,
            on_request=lambda message: self._asked(peer, message),
            on_close=lambda _reason: self._peers.discard(peer),
        )
        self._peers.add(peer)

    def _asked(self, peer: Peer, message: Message) -> None:
        number = message.get("id")

        def reply(problems: list[object] | None = None, **fields: object) -> None:
            if problems:
                peer.send({"id": number, "ok": False, "problems": problems, **fields})
            else:
                peer.send({"id": number, "ok": True, **fields})

        self._on_request(str(message.get("type")), message, reply)
