# SPDX-License-Identifier: Apache-2.0
"""Addresses of one running demo. Several demos on one machine never share any."""

from __future__ import annotations

import errno
import re
import socket

LOCK_PORT = 7099
_WRITTEN = re.compile(r"\b127\.0\.([1-9]\d{0,2})\.(\d{1,3})\b")


class NoPlaceError(Exception):
    """No address is free; the text says what to do."""


class Places:
    """A block 127.N.0.0/16 of loopback addresses, and the one port that people are told.

    The topologies' files say 127.0.x.y. All but 127.0.0.y is moved into the block, so that two demos
    or two tests run side by side; the first one finds N = 0 and changes nothing.
    """

    def __init__(self, port: int) -> None:
        """Takes a free block and looks whether `port` is free; 0 takes any.

        Raises:
            NoPlaceError: All blocks are taken, or the port is.
        """
        self._lock, self.block = _take_block()
        try:
            self.port = _free_port(port)
        except NoPlaceError:
            self.close()
            raise

    def close(self) -> None:
        """Gives the block back."""
        self._lock.close()

    @property
    def entry(self) -> str:
        """The address for browsers: `http://127.0.0.1:8080`."""
        return f"http://127.0.0.1:{self.port}"

    def move(self, text: str) -> str:
        """`text` with every 127.0.x.y but 127.0.0.y moved into the block, and port 8080 replaced."""
        moved = _WRITTEN.sub(rf"127.{self.block}.\1.\2", text)
        return re.sub(r"\b(127\.0\.0\.1:|address: 127\.0\.0\.1, port: )8080\b", rf"\g<1>{self.port}", moved)


def _take_block() -> tuple[socket.socket, int]:
    for block in range(256):
        lock = socket.socket()
        try:
            # Bound and never listened on: the kernel frees it however this process ends.
            lock.bind((f"127.{block}.255.254", LOCK_PORT))
        except OSError as error:
            lock.close()
            if error.errno == errno.EADDRNOTAVAIL:
                raise NoPlaceError(
                    "this system has no loopback address but 127.0.0.1, and the services need one each; "
                    "run the demo on Linux"
                ) from error
        else:
            return lock, block
    raise NoPlaceError("256 demos are running already; stop one")


def _free_port(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError as error:
            raise NoPlaceError(f"port {port} needs root; choose another with --port") from error
        except OSError as error:
            raise NoPlaceError(f"port {port} is in use; choose another with --port") from error
        return int(probe.getsockname()[1])
