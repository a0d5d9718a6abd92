# SPDX-License-Identifier: Apache-2.0
"""Keeps control running: starts it, answers what it asks, replaces it."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tidegate.events import Events
from tidegate.issuing import development, store
from tidegate.protocol import Message, listen
from tidegate.runtime import Instance
from tidegate.supervisor.identity import Identity
from tidegate.supervisor.loop import Loop, Timer
from tidegate.supervisor.peer import Peer
from tidegate.supervisor.processes import Backoff, Process, Spec, start

ENTRY = "tidegate.control"

Reply = Callable[..., None]
"""Called with `problems=[...]` or with the fields of an answer."""
Handler = Callable[[str, Message, Reply], None]


class Control:
    """Control as the supervisor sees it.

    Attributes:
        settings: Given to the next one that is started.
        is_stopping: Whether no other is started.
        process: The running process, if any.
    """

    def __init__(
        self,
        loop: Loop,
        instance: Instance,
        settings: dict[str, Any],
        identity: Identity | None,
        events: Events,
        *,
        on_request: Handler,
        on_start: Callable[[], None],
        on_end: Callable[[str, int], None],
    ) -> None:
        """Takes what control is to know.

        Args:
            loop: What calls back.
            instance: Whose control.
            settings: Given to it as JSON in TIDEGATE_CONTROL; may be exchanged for the next one.
            identity: Whom it runs as.
            events: Where to say what happens.
            on_request: Called with the type, the message and what to answer with.
            on_start: Called whenever one was started.
            on_end: Called when it ended, with how, and how often it ended early one after the other.
        """
        self._loop = loop
        self._instance = instance
        self.settings = settings
        self._identity = identity
        self._events = events
        self._on_request = on_request
        self._on_start = on_start
        self._on_end = on_end
        self._listener: socket.socket | None = None
        self._peer: Peer | None = None
        self._backoff = Backoff()
        self._restart: Timer | None = None
        self.is_stopping = False
        self.process: Process | None = None

    def start(self) -> None:
        """Starts control."""
        self._restart = None
        try:
            if self._listener is None:
                # Bound here: the directory is sticky, and a later control may run as another user.
                self._listener = listen(self._instance.control_socket, 0o600, replace=True)
                if self._identity is not None:
                    os.chown(self._instance.control_socket, self._identity.uid, self._identity.gid)
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            with theirs:
                self.process = start(
                    Spec(
                        "control",
                        ENTRY,
                        environment={
                            "TIDEGATE_CONTROL": json.dumps(self.settings),
                            **self._without_home(),
                        },
                        descriptors={3: theirs.fileno(), 4: self._listener.fileno()},
                        identity=self._identity,
                    )
                )
        except OSError as error:
            self._events.error(f"control cannot be started: {error}")
            self._again(0.0, str(error))
            return
        self._loop.watch(self.process.pidfd, lambda _events: self.ended())
        self._peer = Peer(self._loop, ours, on_request=self._asked)
        self._on_start()

    def _without_home(self) -> dict[str, str]:
        """Where control keeps what users have at home, when it has become somebody who has none."""
        if self._identity is None:
            return {}
        own = {
            development.VARIABLE: str(self._development(self._identity)),
            store.VARIABLE: str(store.SYSTEM),
        }
        return {name: os.environ.get(name) or value for name, value in own.items()}

    def _development(self, identity: Identity) -> Path:
        """Where certificates for development are: where root's commands look, if that can be written."""
        where = development.folder()
        try:
            if not os.environ.get(development.VARIABLE):
                development.give(where, identity.uid, identity.gid)
        except OSError:
            return self._instance.directory / "development"
        return where

    def tell(self, kind: str, **fields: Any) -> None:
        """Sends a message that asks for no answer; lost when control is not there."""
        if self._peer is not None:
            self._peer.send({"type": kind, **fields})

    def _asked(self, message: Message) -> None:
        peer, number = self._peer, message.get("id")

        def reply(problems: list[Any] | None = None, **fields: Any) -> None:
            if peer is None or number is None:
                return
            if problems:
                peer.send({"id": number, "ok": False, "problems": problems, **fields})
            else:
                peer.send({"id": number, "ok": True, **fields})

        self._on_request(str(message.get("type")), message, reply)

    def ended(self) -> None:
        """The process is gone: takes its status and starts another."""
        if self.process is None:
            return
        process, self.process = self.process, None
        self._loop.unwatch(process.pidfd)
        # What it said last may still be on its way to us.
        if self._peer is not None:
            self._peer.receive_rest()
            self._peer.close()
            self._peer = None
        self._again(time.monotonic() - process.started, process.reap())

    def _again(self, lived: float, how: str) -> None:
        if not self.is_stopping:
            delay = self._backoff.ended(lived)
            self._events.warning("control ended, starting another", how=how, in_s=round(delay, 1) or None)
            self._restart = self._loop.after(delay, self.start)
        self._on_end(how, self._backoff.failures)

    def stop(self) -> None:
        """Ends control; no other is started. The process is killed if it does not go by itself."""
        if self.is_stopping:
            return
        self.is_stopping = True
        if self._restart is not None:
            self._restart.cancel()
        self.tell("stop")
        process = self.process

        def late() -> None:
            if process is not None and self.process is process:
                process.signal(signal.SIGKILL)

        self._loop.after(3, late)

    def resume(self) -> None:
        """Takes `stop` back."""
        self.is_stopping = False
        if self.process is None:
            self.start()

    def renew(self) -> None:
        """Replaces control by one with the settings of now."""
        if self.process is not None:
            self.process.signal(signal.SIGKILL)

    def kill(self) -> None:
        """Ends control at once."""
        self.is_stopping = True
        if self.process is not None:
            self.process.signal(signal.SIGKILL)

    def close(self) -> None:
        """Closes what is left open."""
        if self._peer is not None:
            self._peer.close()
        if self._listener is not None:
            self._listener.close()
