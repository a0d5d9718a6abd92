# SPDX-License-Identifier: Apache-2.0
"""Supervisor, control, node and function workers as `tidegate run` starts them, on free ports."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from tidegate.config.gateway import Gateway
from tidegate.protocol import Message
from tidegate.running import Processes

from .rebind import Source, listener_names, loopback, rebind


class WholeGateway:
    """The way of `gateway(..., processes=True)`."""

    def __init__(self, folder: Path, threads: int, timeout: float) -> None:
        """Starts nothing yet; `timeout` in seconds bounds each answer."""
        self.log_file = folder / "access.jsonl"
        self.ports: dict[str, int] = {}
        self._processes = Processes(folder, "test", threads, timeout)
        self.folder = self._processes.folder

    @property
    def pid(self) -> int:
        """The supervisor's process identifier."""
        return self._processes.pid

    def start(self, source: Source) -> None:
        """Starts everything; see `Processes.start`."""
        self._processes.start(self._bound(source))

    def apply(self, source: Source) -> Message:
        """Applies another configuration; see `Processes.apply`."""
        return self._processes.apply(self._bound(source))

    def call(self, kind: str, /, **fields: Any) -> Message:
        """Asks the node."""
        return self._processes.call(kind, **fields)

    def output(self) -> str:
        """What all processes wrote to standard output and error."""
        return self._processes.output()

    def stop(self) -> int:
        """Ends everything and returns the supervisor's exit code."""
        return self._processes.stop()

    def _bound(self, source: Source) -> Gateway:
        """Chooses free ports. The supervisor binds them itself, so they are only free a moment before."""
        held = []
        for name in listener_names(source.gateway):
            if name not in self.ports:
                written = "" if name == "admin" else source.gateway.listeners[name].address
                address = loopback(written)
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                probe = socket.create_server((address, 0), family=family)
                held.append(probe)
                self.ports[name] = probe.getsockname()[1]
        for probe in held:
            probe.close()
        return rebind(source, self.ports, self.log_file)
