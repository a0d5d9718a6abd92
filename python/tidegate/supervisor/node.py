# SPDX-License-Identifier: Apache-2.0
"""Keeps one node running: starts it, hands it the sockets, replaces it, or adopts one that runs."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidegate.events import Events
from tidegate.protocol import MAX_DESCRIPTORS, Channel, Message, ProtocolError, Refused, connect, listen
from tidegate.runtime import Instance
from tidegate.supervisor.binding import Sockets
from tidegate.supervisor.identity import Identity
from tidegate.supervisor.loop import Loop, Timer
from tidegate.supervisor.peer import Peer
from tidegate.supervisor.processes import Backoff, Process, Spec, adopt, start

START_TIMEOUT = 15.0
"""Seconds a node has for each answer until it serves."""
ENTRY = "tidegate._node"
ALLOCATOR = {"MIMALLOC_ALLOW_THP": "0", "MIMALLOC_PURGE_DELAY": "100"}
"""Read by the node's allocator: no huge pages, of which a few bytes keep 2 MiB, and what is free goes back to
the kernel after 100 ms. 9,000 connections that came at once and fell silent then cost under 0.5 KiB each,
not 2.1. What the operator's environment says of it goes first."""


class AdoptionError(Exception):
    """Something answers as the node and cannot be trusted or talked to; the text says what to do."""


@dataclass(frozen=True)
class Owner:
    """What a node is told of its instance."""

    instance: Instance
    identity: Identity | None


class Node:
    """The node as the supervisor sees it.

    Attributes:
        process: The running process, if any.
        threads: How many threads it has; 0 before it is known.
        is_up: Whether it has its sockets and accepts.
        is_adopted: Whether an earlier supervisor started it.
        path: Where it answers.
        hello: What an adopted or new node said of itself: `version`, `build`, `snapshot`, ...
        problem: Why one that was tried out does not serve; empty while nothing is known.
    """

    def __init__(
        self,
        loop: Loop,
        owner: Owner,
        sockets: Sockets,
        events: Events,
        *,
        on_up: Callable[[], None],
        on_end: Callable[[str, int], None],
        path: Path | None = None,
    ) -> None:
        """Args:
        on_up: Called whenever a node accepts.
        on_end: Called when one ended, with how, and how many ended early one after the other.
        path: Where it answers; the instance's ordinary place without it.
        """
        self.path = path or owner.instance.node_socket
        self.hello: Message = {}
        self.problem = ""
        self._is_trial = False
        self._first_start: dict[str, Any] = {}
        self._loop = loop
        self._owner = owner
        self._sockets = sockets
        self._events = events
        self._on_up = on_up
        self._on_end = on_end
        self._listener: socket.socket | None = None
        self._peer: Peer | None = None
        self._backoff = Backoff()
        self._restart: Timer | None = None
        self._is_stopping = False
        self._prepared: tuple[Process, int] | None = None
        self.process: Process | None = None
        self.threads = 0
        self.is_up = False
        self.is_adopted = False

    def adopt(self, *, with_sockets: bool = True) -> bool:
        """Takes over the node that answers at `path`, with its sockets.

        Args:
            with_sockets: Whether to take them; a node that drains has none.

        Returns:
            Whether there is one.

        Raises:
            AdoptionError: Something answers that is no node of ours.
        """
        try:
            channel = Channel.to(self.path)
        except OSError:
            return False
        with channel:
            try:
                channel.identify()
                self.hello = channel.call("hello")
                process = self._check(channel)
                if with_sockets:
                    self._take_sockets(channel)
                    if not self.hello.get("started"):
                        channel.call("start")
                    if self.hello.get("without_datagrams"):
                        # The supervisor before was killed between the two nodes.
                        channel.call("datagrams.take")
            except (ProtocolError, Refused, KeyError) as error:
                raise AdoptionError(
                    f"something answers on {self.path} but not as a node: {error}; "
                    f"`fuser {self.path}` names the process, end it and try again"
                ) from error
        self.threads = int(self.hello["threads"])
        self.is_adopted = True
        self._follow(process)
        self._connect()
        self.is_up = True
        if with_sockets:
            self._events.info(
                "adopted the running node",
                pid=process.pid,
                version=self.version,
                snapshot=self.hello.get("snapshot"),
                sockets=len(self._sockets.pairs()),
            )
        return True

    def take_sockets(self) -> None:
        """Takes the sockets that the running node holds.

        Raises:
            OSError: It is gone.
            ProtocolError: It does not answer.
        """
        with Channel.to(self.path) as channel:
            self._take_sockets(channel)

    def _take_sockets(self, channel: Channel) -> None:
        reply = channel.call("sockets.get")
        while True:
            for key, descriptor in zip(reply["keys"], channel.take(len(reply["keys"])), strict=True):
                self._sockets.adopt(key, descriptor)
            if not reply.get("more"):
                return
            reply = channel.receive(10)

    @property
    def version(self) -> str:
        """The version of the package it runs from; empty before it has said it."""
        return str(self.hello.get("version", ""))

    def _check(self, channel: Channel) -> Process:
        if channel.sender is None:
            raise ProtocolError("the kernel does not say who it is")
        pid, uid, _ = channel.sender
        allowed = {os.geteuid()} | ({self._owner.identity.uid} if self._owner.identity else set())
        if uid not in allowed:
            raise ProtocolError(f"it runs as user {uid}")
        process = adopt("node", pid)
        if process is None:
            raise ProtocolError(f"process {pid} ended meanwhile")
        # It answered before its descriptor was opened; an answer now says the descriptor is its own.
        try:
            channel.call("hello")
        except (ProtocolError, Refused):
            os.close(process.pidfd)
            raise
        if channel.sender[0] != pid:
            os.close(process.pidfd)
            raise ProtocolError("two processes answer")
        return process

    def start(self, threads: int) -> None:
        """Starts a node with `threads` threads on every socket held."""
        self.threads = threads
        self._start()

    def try_out(self, threads: int, health: list[list[str]]) -> None:
        """Starts a node beside the one it is to replace. If it ends before `promote`, no other is started.

        Args:
            threads: How many.
            health: What the checks of that one have found: `[backend, endpoint, "up" or "down"]`.
        """
        self._is_trial = True
        # The snapshot on disk is that one's; control sends what this one is to have.
        # Its sockets of UDP are that one's until `datagrams.take`: of two that read each would get what is
        # the other's.
        self._first_start = {"from_disk": False, "without_datagrams": True, "health": health}
        self.start(threads)

    def promote(self) -> None:
        """Gives the instance's socket to a node that was tried out: whoever asks reaches this one.

        Raises:
            OSError: The socket cannot be renamed.
        """
        os.rename(self.path, self._owner.instance.node_socket)
        self.path = self._owner.instance.node_socket
        self._is_trial = False

    def step_aside(self, path: Path) -> None:
        """Gives the socket of a node that is to be replaced another name, beside the one it has.

        Raises:
            OSError: The socket cannot have two names.
        """
        path.unlink(missing_ok=True)
        os.link(self.path, path)
        self.path = path

    def retire(self, on_end: Callable[[str, int], None]) -> None:
        """Makes the end of this node the end of it; `on_end` is called instead of the one before."""
        self._is_stopping = True
        self._on_end = on_end
        if self._restart is not None:
            self._restart.cancel()

    def prepare(self) -> None:
        """Starts the process of a node whose threads are not known yet: it loads, and waits for `start`."""
        read, write = os.pipe2(os.O_CLOEXEC)
        try:
            self._prepared = self._launch({}, {4: read}), write
        except OSError:
            # `start` tries again, and says what is wrong.
            os.close(write)
        finally:
            os.close(read)

    def _prepared_process(self) -> Process | None:
        """The process that waits, told how many threads it has; None without one, or if it has ended."""
        if self._prepared is None:
            return None
        (process, write), self._prepared = self._prepared, None
        try:
            os.write(write, json.dumps({"threads": self.threads}).encode())
        except OSError:
            process.reap()
            return None
        finally:
            os.close(write)
        return process

    def _launch(self, settings: dict[str, Any], descriptors: dict[int, int]) -> Process:
        owner = self._owner
        if self._listener is None:
            self._listener = listen(self.path, 0o600, replace=True)
            if owner.identity is not None:
                os.chown(self.path, owner.identity.uid, owner.identity.gid)
        settings |= {"instance": owner.instance.name, "runtime_directory": str(owner.instance.directory)}
        return start(
            Spec(
                "node",
                ENTRY,
                environment=_allocator() | {"TIDEGATE_NODE": json.dumps(settings)},
                descriptors={3: self._listener.fileno(), **descriptors},
                identity=owner.identity,
                keeps_limit=True,
            )
        )

    def _start(self) -> None:
        self._restart = None
        try:
            process = self._prepared_process() or self._launch({"threads": self.threads}, {})
        except OSError as error:
            self._events.error(f"the node cannot be started: {error}")
            self._again(0.0, str(error))
            return
        self.is_adopted = False
        self._follow(process)
        self._connect()
        self._events.info("node started", pid=process.pid, threads=self.threads)
        self._hand_over()

    def _follow(self, process: Process) -> None:
        self.process = process
        self._loop.watch(process.pidfd, lambda _events: self.ended())

    def _connect(self) -> None:
        connection = connect(self.path, timeout=5)
        self._peer = Peer(self._loop, connection, on_close=self._lost)

    def _hand_over(self) -> None:
        """Greets a new node, gives it all sockets and lets it accept."""
        if self._peer is None:
            return
        peer = self._peer

        def greeted(reply: Message | None) -> None:
            if self._accepted(reply, "hello"):
                self.hello = reply or {}
                self.put(self._sockets.names(), started)

        def started(reply: Message | None) -> None:
            if self._accepted(reply, "sockets.put"):
                peer.call("start", up, timeout=START_TIMEOUT, **self._first_start)
                self._first_start = {}

        def up(reply: Message | None) -> None:
            if not self._is_trial and self._has_bad_snapshot(reply):
                peer.call("start", up, timeout=START_TIMEOUT)
            elif self._accepted(reply, "start"):
                self.is_up = True
                self._on_up()

        peer.call("hello", greeted, timeout=START_TIMEOUT)

    def _has_bad_snapshot(self, reply: Message | None) -> bool:
        """Puts a snapshot aside that the node refuses, so that it can start; control sends another."""
        if reply is None or reply.get("ok") is True:
            return False
        path = self._owner.instance.snapshot_file
        aside = path.with_name("snapshot.refused.json")
        try:
            path.rename(aside)
        except OSError:
            return False
        self._events.error("the node refuses its last snapshot", kept=aside, problems=reply.get("problems"))
        return True

    def _accepted(self, reply: Message | None, what: str) -> bool:
        if reply is not None and reply.get("ok") is True:
            return True
        if self.process is not None and not self._is_stopping:
            reason = "no answer" if reply is None else reply.get("problems")
            self.problem = self.problem or f"it did not start properly: {what}: {reason}"
            self._events.error("the node did not start properly", step=what, problems=reason)
            self.process.signal(signal.SIGKILL)
        return False

    def put(self, keys: list[str], answer: Callable[[Message | None], None]) -> None:
        """Gives the sockets of `keys` to the node; `answer` gets the last reply, or the first refusal."""
        frames = _frames([self._sockets.pairs([key]) for key in keys])
        if self._peer is None:
            answer(None)
            return
        peer = self._peer

        def sent(reply: Message | None) -> None:
            if not frames or reply is None or reply.get("ok") is not True:
                answer(reply)
                return
            pairs = frames.pop(0)
            peer.call(
                "sockets.put",
                sent,
                descriptors=[descriptor for _, descriptor in pairs],
                keys=[key for key, _ in pairs],
                timeout=START_TIMEOUT,
            )

        sent({"ok": True})

    def call(self, kind: str, answer: Callable[[Message | None], None], **fields: Any) -> None:
        """Asks the running node; `answer` gets None when there is none."""
        if self._peer is None:
            answer(None)
        else:
            self._peer.call(kind, answer, **fields)

    def _lost(self, reason: str) -> None:
        """The connection ended. The process mostly ends with it; one that does not is of no use."""
        self._peer = None
        process = self.process

        def still_there() -> None:
            if process is not None and self.process is process and not self._is_stopping:
                self._events.error("replacing a node that can no longer be talked to", reason=reason)
                process.signal(signal.SIGKILL)

        self._loop.after(1, still_there)

    def ended(self) -> None:
        """The process is gone: takes its status and starts another."""
        if self.process is None:
            return
        process, self.process = self.process, None
        self._loop.unwatch(process.pidfd)
        how = process.reap()
        if self._peer is not None:
            # What it said last may still be on its way to us.
            peer, self._peer = self._peer, None
            peer.receive_rest()
            peer.close()
        self.is_up = False
        self._again(time.monotonic() - process.started, how)

    def _again(self, lived: float, how: str) -> None:
        if self._is_stopping or self._is_trial:
            self.problem = self.problem or f"it ended before it was ready: {how}"
            self._on_end(how, self._backoff.failures)
            return
        delay = self._backoff.ended(lived)
        self._events.warning("the node ended, starting another", how=how, in_s=round(delay, 1) or None)
        if delay:
            self._restart = self._loop.after(delay, self._start)
        else:
            # Not from within this callback: `on_end` may decide to stop.
            self._restart = self._loop.after(0, self._start)
        self._on_end(how, self._backoff.failures)

    def drain(self) -> None:
        """Tells the node to finish what it has and end; no other is started."""
        self._is_stopping = True
        if self._restart is not None:
            self._restart.cancel()
        if self.process is not None:
            self.process.signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the node at once."""
        self.drain()
        if self.process is not None:
            self.process.signal(signal.SIGKILL)

    def close(self) -> None:
        """Closes what is left open, and ends a process that still waits for `start`."""
        if self._prepared is not None:
            (process, write), self._prepared = self._prepared, None
            process.signal(signal.SIGKILL)
            process.reap()
            os.close(write)
        if self._peer is not None:
            self._peer.close()
        if self._listener is not None:
            self._listener.close()


def _frames(groups: list[list[tuple[str, int]]]) -> list[list[tuple[str, int]]]:
    """Packs the sockets of all keys into as few frames as their descriptors need.

    A key's sockets stay together: the same key in a later frame replaces them. Of more than a frame can
    hold, the rest is left out; threads then share.
    """
    frames: list[list[tuple[str, int]]] = []
    for group in groups:
        whole = group[:MAX_DESCRIPTORS]
        if frames and len(frames[-1]) + len(whole) <= MAX_DESCRIPTORS:
            frames[-1].extend(whole)
        elif whole:
            frames.append(whole)
    return frames


def _allocator() -> dict[str, str]:
    return {name: value for name, value in ALLOCATOR.items() if name not in os.environ}
