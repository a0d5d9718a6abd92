# SPDX-License-Identifier: Apache-2.0
"""Unix sockets at paths of any length.

The kernel's limit of 107 bytes is worked around through the directory's descriptor in /proc, so a
deep runtime directory needs no other name.
"""

import errno
import os
import secrets
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST = 107
"""Bytes of a path that fit into `sockaddr_un`, without the closing NUL."""


@contextmanager
def _reachable(path: Path) -> Iterator[str]:
    text = str(path)
    if len(os.fsencode(text)) <= LONGEST:
        yield text
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def connect(path: Path, timeout: float | None = None) -> socket.socket:
    """Connects to the Unix socket at `path`; `timeout` in seconds stays set on the socket.

    Raises:
        OSError: The kernel's: `FileNotFoundError`, `ConnectionRefusedError` when nobody listens, ...
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        with _reachable(path) as name:
            connection.connect(name)
    except BaseException:
        connection.close()
        raise
    return connection


def is_answered(path: Path) -> bool:
    """Whether somebody listens on the Unix socket at `path`."""
    try:
        connect(path, timeout=1).close()
    except (BlockingIOError, PermissionError):
        # A full queue of connections, or not for us: alive in any case.
        return True
    except OSError:
        return False
    return True


def listen(path: Path, mode: int, backlog: int = 128, *, replace: bool = False) -> socket.socket:
    """Listens at `path`, replacing a socket that nobody answers any more.

    The new socket appears under its name only when it listens, so whoever connects meanwhile
    reaches the old one or the new one.

    Args:
        path: Where; the directory exists.
        mode: Permissions of the socket file: who may connect.
        backlog: Connections that may wait to be accepted.
        replace: Whether a socket that somebody answers is replaced, too: where the instance's lock says
            that it can only be a process about to end.

    Raises:
        FileExistsError: There is a file that is not a socket.
        OSError: `EADDRINUSE` when somebody answers there; the kernel's otherwise.
    """
    if os.path.lexists(path):
        if not path.is_socket():
            raise FileExistsError(errno.EEXIST, "a file that is not a socket is in the way", str(path))
        if not replace and is_answered(path):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), str(path))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    temporary = path.with_name(f".{secrets.token_hex(4)}")
    try:
        with _reachable(temporary) as name:
            listener.bind(name)
        os.chmod(temporary, mode)
        listener.listen(backlog)
        os.rename(temporary, path)
    except BaseException:
        listener.close()
        temporary.unlink(missing_ok=True)
        raise
    return listener


def sender_of(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, int, int] | None:
    """The process identifier, user and group that the kernel says a message came from, if asked for.

    Ask with `SO_PASSCRED`. `SO_PEERCRED` is of no use for a socket that another process opened: it
    names who called `listen`.
    """
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            pid, uid, gid = struct.unpack("3i", data[: struct.calcsize("3i")])
            return pid, uid, gid
    return None
