# SPDX-License-Identifier: Apache-2.0
"""A node alone, fed by the test process in place of supervisor and control: starts in a moment."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tidegate.config.compile import Compiler
from tidegate.config.gateway import Gateway
from tidegate.config.snapshot import Snapshot
from tidegate.control.compiled import address_of
from tidegate.protocol import MAX_DESCRIPTORS, Address, Channel, Message, ProtocolError, listen
from tidegate.running import environment
from tidegate.supervisor.binding import BindError, bind

from .rebind import Source, listener_names, loopback, rebind


class NodeAlone:
    """The light way of `gateway(...)`: one process, no function workers."""

    def __init__(self, folder: Path, threads: int, timeout: float) -> None:
        """Starts nothing yet; `folder` is the runtime directory, `timeout` in seconds bounds each answer."""
        self.folder = folder
        self.log_file = folder / "access.jsonl"
        self.output_file = folder / "node.out"
        self.ports: dict[str, int] = {}
        self.snapshot: Snapshot | None = None
        self.number = 0
        self._threads = threads
        self._timeout = timeout
        self._compiler = Compiler(folder, threads)
        self._sockets: dict[str, list[socket.socket]] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None

    @property
    def pid(self) -> int:
        """The node's process identifier."""
        assert self._process is not None
        return self._process.pid

    def start(self, source: Source) -> None:
        """Starts the node and applies the configuration.

        Raises:
            ConfigError: The configuration is wrong.
            RuntimeError: The node did not start; the text has its output.
        """
        self._bind(source.gateway)
        settings = {
            "instance": "test",
            "runtime_directory": str(self.folder),
            "threads": self._threads,
            "version": "0+test",
        }
        with listen(self.folder / "node.sock", 0o600) as listener, open(self.output_file, "ab") as output:
            descriptor = listener.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-c", _ENTRY, str(descriptor)],
                env={**environment(), "TIDEGATE_NODE": json.dumps(settings)},
                pass_fds=(descriptor,),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            self._channel = Channel.to(self.folder / "node.sock", self._timeout)
            self.call("hello")
            self._hand_over(self._sockets)
            self.call("start")
        except (OSError, ProtocolError) as error:
            raise RuntimeError(f"the node did not start: {error}\n{self.output()}") from error
        self.apply(source)

    def apply(self, source: Source) -> Message:
        """Compiles a configuration and sends the difference; returns the node's answer.

        Raises:
            Refused: The node refused it and goes on as before.
        """
        fresh = self._bind(source.gateway)
        snapshot = self._compiler.compile(rebind(source, self.ports, self.log_file))
        if fresh:
            self._hand_over(fresh)
        delta = snapshot.delta(self.snapshot, base=self.number, number=self.number + 1)
        reply = self.call("snapshot.delta", delta=delta)
        self.snapshot, self.number = snapshot, self.number + 1
        return reply

    def call(self, kind: str, /, **fields: Any) -> Message:
        """Asks the node."""
        assert self._channel is not None
        return self._channel.call(kind, timeout=self._timeout, **fields)

    def output(self) -> str:
        """What the node wrote to standard output and error."""
        with contextlib.suppress(OSError):
            return self.output_file.read_text(errors="replace")
        return ""

    def stop(self) -> int:
        """Ends the node at once and returns its exit code; -9 when it had to be killed."""
        for sockets in self._sockets.values():
            for bound in sockets:
                bound.close()
        if self._channel is not None:
            with contextlib.suppress(ProtocolError, OSError):
                self._channel.send({"id": 0, "type": "drain", "grace_ms": 0})
        code = 0
        if self._process is not None:
            if self._channel is None:
                self._process.send_signal(signal.SIGTERM)
            try:
                code = self._process.wait(self._timeout)
            except subprocess.TimeoutExpired:
                self._process.kill()
                code = self._process.wait()
        if self._channel is not None:
            self._channel.close()
        return code

    def _bind(self, gateway: Gateway) -> dict[str, list[socket.socket]]:
        """Binds a free port for each listener that has none yet; returns the new sockets by key."""
        fresh = {}
        for name in listener_names(gateway):
            if name not in self.ports:
                written = "" if name == "admin" else gateway.listeners[name].address
                address = loopback(written)
                own = None if name == "admin" else gateway.listeners[name]
                transport = "udp" if own is not None and own.protocol == "udp" else "tcp"
                is_both = own is not None and own.http3 is not None
                sockets, more = self._bind_free(address, transport, is_both=is_both)
                self.ports[name] = sockets[0].getsockname()[1]
                fresh[address_of(address, self.ports[name], transport)["key"]] = sockets
                if more:
                    fresh[address_of(address, self.ports[name], "udp")["key"]] = more
        for listener in gateway.listeners.values():
            if listener.address.startswith("unix:") and listener.address not in self._sockets:
                fresh[listener.address] = bind(address_of(listener.address, 0), self._threads)
        self._sockets |= fresh
        return fresh

    def _bind_free(
        self, address: str, transport: str, *, is_both: bool
    ) -> tuple[list[socket.socket], list[socket.socket]]:
        """Sockets at a free port, and of UDP at the same one if `is_both`."""
        while True:
            wanted: Address = {"key": "", "address": address, "port": 0, "transport": transport}
            sockets = bind(wanted, self._threads)
            if not is_both:
                return sockets, []
            port = sockets[0].getsockname()[1]
            try:
                return sockets, bind(address_of(address, port, "udp"), self._threads)
            except BindError:
                # Somebody has that of UDP: another one.
                for bound in sockets:
                    bound.close()

    def _hand_over(self, sockets: Mapping[str, list[socket.socket]]) -> None:
        assert self._channel is not None
        pairs = [(key, one.fileno()) for key, several in sockets.items() for one in several]
        for start in range(0, len(pairs), MAX_DESCRIPTORS):
            part = pairs[start : start + MAX_DESCRIPTORS]
            self._channel.call(
                "sockets.put",
                timeout=self._timeout,
                descriptors=[descriptor for _, descriptor in part],
                keys=[key for key, _ in part],
            )


# The node expects its control socket as descriptor 3, which a parent may be using for something else.
_ENTRY = """
import os, sys
if int(sys.argv[1]) != 3:
    os.dup2(int(sys.argv[1]), 3)
from tidegate import _node
sys.exit(_node.main())
"""
