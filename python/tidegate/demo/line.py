# SPDX-License-Identifier: Apache-2.0
"""A scanner in the warehouse, as simple as can be: lines over TCP."""

from __future__ import annotations

import socket
from contextlib import suppress
from types import TracebackType


class Scanner:
    """One connection to `IP:port`, kept for as long as the block lasts. Never raises: no answer is ""."""

    def __init__(self, address: str, patience: float = 10.0) -> None:
        """Connects; `patience` is the seconds to wait for each step."""
        host, _, port = address.rpartition(":")
        self._connection: socket.socket | None = None
        with suppress(OSError):
            self._connection = socket.create_connection((host, int(port)), patience)

    def __enter__(self) -> Scanner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.close()

    def ask(self, line: str) -> str:
        """Sends a line and returns the one that comes back."""
        if self._connection is None:
            return ""
        said = b""
        with suppress(OSError):
            self._connection.sendall(f"{line}\n".encode())
            while not said.endswith(b"\n"):
                piece = self._connection.recv(4096)
                if not piece:
                    return ""
                said += piece
        return said.decode("utf-8", "replace").rstrip("\n")
