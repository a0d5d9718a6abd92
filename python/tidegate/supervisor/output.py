# SPDX-License-Identifier: Apache-2.0
"""What users' own servers print, line by line into the log."""

import contextlib
import fcntl
import os
import re
from collections.abc import Callable

from tidegate.supervisor.loop import Loop

LONGEST = 16 << 10
"""Bytes of a line; what is longer is several."""
_CAPACITY = 1 << 20
"""Bytes that may wait in the pipe while no supervisor reads, as after one that was killed."""
_CHUNK = 1 << 16
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class Output:
    """The reading end of one process's standard output and error.

    The process has the pipe open for reading as well as for writing. So it never gets SIGPIPE, not even when
    the supervisor is killed; the next supervisor opens the same pipe again by `reopen`.

    Attributes:
        inode: Names the pipe, for `state.json`.
    """

    def __init__(self, loop: Loop, reader: int, on_line: Callable[[str], None]) -> None:
        """Takes a descriptor, and calls back with each line."""
        self._loop = loop
        self._reader = reader
        self._on_line = on_line
        self._rest = b""
        self.inode = os.fstat(reader).st_ino
        os.set_blocking(reader, False)
        loop.watch(reader, self._readable)

    def _readable(self, _events: int) -> None:
        self._read()

    def _read(self) -> bool:
        """Reads once; returns whether there was anything."""
        try:
            data = os.read(self._reader, _CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.close()
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        while len(self._rest) > LONGEST:
            lines.append(self._rest[:LONGEST])
            self._rest = self._rest[LONGEST:]
        for line in lines:
            self._say(line)
        return True

    def _say(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip()
        for at in range(0, len(text), LONGEST):
            # A terminal must not be steered by what a server prints.
            self._on_line(_CONTROL.sub("?", text[at : at + LONGEST]))

    def finish(self) -> None:
        """The process is gone: says what is left and closes the pipe."""
        for _ in range(2 * _CAPACITY // _CHUNK):
            if self._reader < 0 or not self._read():
                break
        self.close()

    def close(self) -> None:
        """Reads no more; a line without an end is one."""
        if self._reader < 0:
            return
        self._loop.unwatch(self._reader)
        os.close(self._reader)
        self._reader = -1
        if self._rest:
            self._say(self._rest)
            self._rest = b""


def make() -> tuple[int, int]:
    """A pipe: the reading end, and an end for the process that can do both."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    with contextlib.suppress(OSError):
        # One user's pipes may not be as large as they like.
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _CAPACITY)
    try:
        both = os.open(f"/proc/self/fd/{writer}", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    return reader, both


def reopen(pid: int, inode: int) -> int | None:
    """The reading end of the pipe that a process prints to; None if it prints elsewhere by now."""
    for number in (1, 2):
        path = f"/proc/{pid}/fd/{number}"
        try:
            if os.readlink(path) == f"pipe:[{inode}]":
                return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
    return None
