# SPDX-License-Identifier: Apache-2.0
"""Binds listening sockets, of TCP, UDP and Unix: one per node thread and address."""

import contextlib
import errno
import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tidegate.protocol import Address, listen, name_of

BACKLOG = 4096
"""Connections that may wait on one socket; the kernel caps it at net.core.somaxconn."""
UNIX_MODE = 0o660
WAITING = 2 << 20
"""Bytes of datagrams that may wait on one socket of UDP, beyond net.core.rmem_max where it may do that.

A flood of 350,000 packets a second fills what Linux gives by default in a quarter of a millisecond.
"""
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h; Python has no name for it


class BindError(Exception):
    """An address that cannot be had.

    Attributes:
        where: The address as the user wrote it.
        message: Why, and what to do.
    """

    def __init__(self, where: str, message: str) -> None:
        super().__init__(f"{where}: {message}")
        self.where = where
        self.message = message


def bind(address: Address, threads: int, *, is_own_port: bool = False) -> list[socket.socket]:
    """Binds `threads` sockets to one address; the kernel spreads connections over them.

    Those of UDP do not listen: what comes is spread by its sender's address and port. The first socket is
    bound alone and made to share only afterwards, so that another program, or another gateway, that holds
    the address is noticed: SO_REUSEPORT from the start would join it silently and take half of what comes.

    Args:
        address: What to bind.
        threads: How many sockets.
        is_own_port: Whether we hold the port on another address already, of the same transport: `::` gives
            way to `127.0.0.1` in one change, and what is in use is in use by us.

    Raises:
        BindError: The address is taken, forbidden or does not exist here. Nothing stays bound.
    """
    path = address.get("path")
    try:
        if path:
            first = listen(Path(path), address.get("mode", UNIX_MODE), address.get("backlog", BACKLOG))
            return [first, *(first.dup() for _ in range(threads - 1))]
        backlog = None if address.get("transport") == "udp" else address.get("backlog", BACKLOG)
        return _bind_port(address["address"], address["port"], threads, backlog, shared=is_own_port)
    except OSError as error:
        where = path or name_of(address["address"], address["port"])
        raise BindError(where, explain(error, address)) from error


def _bind_port(
    address: str, port: int, threads: int, backlog: int | None, *, shared: bool
) -> list[socket.socket]:
    address = address.strip("[]")
    try:
        first = _open(address, port, backlog, shared=shared)
    except OSError as error:
        if address != "::" or error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            raise
        # A kernel without IPv6: "all addresses" is then all of IPv4.
        address = "0.0.0.0"
        first = _open(address, port, backlog, shared=shared)
    sockets = [first]
    try:
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        port = first.getsockname()[1]
        while len(sockets) < threads:
            sockets.append(_open(address, port, backlog, shared=True))
    except BaseException:
        for opened in sockets:
            opened.close()
        raise
    return sockets


def _open(address: str, port: int, backlog: int | None, *, shared: bool) -> socket.socket:
    """Binds one socket: of TCP, which listens, or of UDP if there is no `backlog`."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_DGRAM if backlog is None else socket.SOCK_STREAM)
    try:
        if backlog is not None:
            # Connections of an earlier run that linger in TIME_WAIT must not keep us from starting. Of UDP
            # there are none, and the option would let two programs have one port.
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address != "::"))
        if shared:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if backlog is None:
            with contextlib.suppress(OSError):  # without the right to it the node asks for what it may have
                opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, WAITING)
        opened.bind((address, port))
        if backlog is not None:
            opened.listen(backlog)
    except BaseException:
        opened.close()
        raise
    return opened


def explain(error: OSError, address: Address) -> str:
    """Says why an address could not be bound, and what to do."""
    port = address.get("port", 0)
    if error.errno == errno.EADDRINUSE:
        if "path" in address:
            return "address in use: a program answers on this socket; stop it or choose another path"
        is_udp = address.get("transport") == "udp"
        what, option = ("address in use by UDP", "u") if is_udp else ("address in use", "t")
        return (
            f"{what}: stop the program that holds it (`ss -l{option}np 'sport = :{port}'` names it) "
            "or choose another port"
        )
    if error.errno == errno.EACCES and port and port < 1024:
        return (
            "permission denied: ports below 1024 need root, or "
            f"`sysctl net.ipv4.ip_unprivileged_port_start={port}`"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine does not have that address; `ip address` lists those it has"
    if error.errno == errno.EAFNOSUPPORT:
        return "this machine has no IPv6; listen on an IPv4 address"
    if error.errno == errno.ENOENT:
        return f"the directory {Path(address.get('path', '')).parent} does not exist; create it"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "out of file descriptors; raise the limit (`ulimit -n`, LimitNOFILE= in the unit file)"
    return os.strerror(error.errno) if error.errno else str(error)


class Sockets:
    """Every listening socket the supervisor holds, by key."""

    def __init__(self) -> None:
        self._held: dict[str, list[socket.socket]] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._held

    def names(self) -> list[str]:
        """The keys, in the order they came."""
        return list(self._held)

    def count(self, key: str) -> int:
        """How many sockets the key has."""
        return len(self._held.get(key, ()))

    def add(self, key: str, sockets: list[socket.socket]) -> None:
        """Holds more sockets under `key`."""
        self._held.setdefault(key, []).extend(sockets)

    def adopt(self, key: str, descriptor: int) -> None:
        """Holds a socket that came from another process as a descriptor."""
        self.add(key, [socket.socket(fileno=descriptor)])

    def pairs(self, keys: list[str] | None = None) -> list[tuple[str, int]]:
        """Key and descriptor of each socket, of all keys or of `keys`."""
        chosen = self._held if keys is None else {key: self._held[key] for key in keys}
        return [(key, held.fileno()) for key, sockets in chosen.items() for held in sockets]

    def first(self, key: str) -> int:
        """The descriptor of the first socket of `key`."""
        return self._held[key][0].fileno()

    def drop(self, key: str) -> None:
        """Closes the sockets of `key`; a Unix socket's file goes too."""
        for held in self._held.pop(key, ()):
            held.close()
        if key.startswith("unix:"):
            Path(key.removeprefix("unix:")).unlink(missing_ok=True)

    def part(self, keys: Iterable[str]) -> "Sockets":
        """Takes those of `keys` out, into a holder of their own."""
        taken = Sockets()
        taken._held = {key: self._held.pop(key) for key in list(keys)}
        return taken

    def close(self) -> None:
        """Closes all sockets and leaves files alone: the node may still accept on them."""
        for sockets in self._held.values():
            for held in sockets:
                held.close()
        self._held.clear()


def port_of(key: str) -> tuple[str, str] | None:
    """Transport and port of a key such as `tcp:[::]:443`; None without a port."""
    transport, _, rest = key.partition(":")
    return (transport, rest.rpartition(":")[2]) if transport in ("tcp", "udp") else None


def ensure(sockets: Sockets, addresses: list[Address], threads: int) -> list[str]:
    """Binds what `sockets` does not hold yet; all or nothing.

    Returns:
        The keys that are new.

    Raises:
        BindFailures: With every address that could not be had.
    """
    bound: dict[str, list[socket.socket]] = {}
    errors: list[BindError] = []
    own_ports = {port_of(name) for name in sockets.names()}
    for address in addresses:
        key = address["key"]
        if key in sockets or key in bound:
            continue
        is_own_port = port_of(key) in own_ports and "port" in address
        try:
            bound[key] = bind(address, threads, is_own_port=is_own_port)
        except BindError as error:
            errors.append(error)
    if errors:
        for key, opened in bound.items():
            for held in opened:
                held.close()
            if key.startswith("unix:"):
                Path(key.removeprefix("unix:")).unlink(missing_ok=True)
        raise BindFailures(errors)
    for key, opened in bound.items():
        sockets.add(key, opened)
    return list(bound)


class BindFailures(Exception):
    """Several addresses that cannot be had."""

    def __init__(self, errors: list[BindError]) -> None:
        super().__init__("; ".join(map(str, errors)))
        self.errors = errors

    def problems(self) -> list[dict[str, Any]]:
        """As the protocol has them."""
        return [{"where": error.where, "message": error.message} for error in self.errors]
