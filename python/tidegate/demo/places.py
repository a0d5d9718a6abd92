# SPDX-License-Identifier: Apache-2.0
"""Addresses of one running demo. Several demos on one machine never share any."""

from __future__ import annotations

import errno
import re
import socket
from contextlib import ExitStack

LOCK_PORT = 7099
HTTPS, PLAIN, STOCK = 8443, 8080, 8070
"""The ports on 127.0.0.1 as the files write them: the shop, the way to it without TLS, and its stock."""
TRIES = 20
_WRITTEN = re.compile(r"\b127\.0\.([1-9]\d{0,2})\.(\d{1,3})\b")
_PORTS = re.compile(rf"\b(127\.0\.0\.1:|address: 127\.0\.0\.1, port: )({HTTPS}|{PLAIN}|{STOCK})\b")


class NoPlaceError(Exception):
    """No address is free; the text says what to do."""


class Places:
    """A block 127.N.0.0/16 of loopback addresses, and the ports that people are told.

    The topologies' files say 127.0.x.y. All but 127.0.0.y is moved into the block, so that two demos
    or two tests run side by side; the first one finds N = 0 and changes nothing.
    """

    def __init__(self, port: int) -> None:
        """Takes a free block and looks whether `port`, for HTTPS, is free; 0 takes any.

        The other ports are those of the files, or any where somebody else has them.

        Raises:
            NoPlaceError: All blocks are taken, or the port is.
        """
        self._lock, self.block = _take_block()
        try:
            with ExitStack() as probes:
                self.port = _free_port(port, probes)
                self.plain_port = _free_port(PLAIN if port else 0, probes, gives_way=True)
                self.stock_port = _free_port(STOCK if port else 0, probes, gives_way=True)
        except NoPlaceError:
            self.close()
            raise

    def close(self) -> None:
        """Gives the block back."""
        self._lock.close()

    @property
    def entry(self) -> str:
        """The address for browsers: `https://localhost:8443`."""
        return f"https://localhost:{self.port}"

    def move(self, text: str) -> str:
        """`text` with every 127.0.x.y but 127.0.0.y moved into the block, and ports of 127.0.0.1 replaced."""
        moved = _WRITTEN.sub(rf"127.{self.block}.\1.\2", text)
        ports = {HTTPS: self.port, PLAIN: self.plain_port, STOCK: self.stock_port}
        return _PORTS.sub(lambda found: f"{found[1]}{ports[int(found[2])]}", moved)


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


def _free_port(port: int, probes: ExitStack, gives_way: bool = False) -> int:
    """`port`, if TCP and UDP (for HTTP/3) are free there, or any for 0; bound as long as `probes` is open.

    Args:
        port: Which is wanted.
        probes: Keeps others from being given the same.
        gives_way: Whether any other will do if it is taken.
    """
    for _ in range(TRIES):
        try:
            stream = probes.enter_context(socket.socket())
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            stream.bind(("127.0.0.1", port))
            found = int(stream.getsockname()[1])
            probes.enter_context(socket.socket(type=socket.SOCK_DGRAM)).bind(("127.0.0.1", found))
        except PermissionError as error:
            raise NoPlaceError(f"port {port} needs root; choose another with --port") from error
        except OSError as error:
            if port and not gives_way:
                raise NoPlaceError(f"port {port} is in use; choose another with --port") from error
            port = 0
        else:
            return found
    raise NoPlaceError("no port is free for TCP and UDP alike; end something that has many open")
