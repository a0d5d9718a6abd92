# SPDX-License-Identifier: Apache-2.0
"""SQLite for a service: one file, shared by the service's instances."""

from __future__ import annotations

import asyncio
import fcntl
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Lock
from typing import TypeVar

Result = TypeVar("Result")


class Store:
    """Runs work on a database in a thread, so that the event loop never waits for a disk."""

    def __init__(self, path: Path, schema: str) -> None:
        """
        Args:
            path: The database's file; it and its folder are made when the first work needs them.
            schema: SQL that each instance runs once; must be harmless when repeated.
        """
        self._path = path
        self._schema = schema
        self._is_ready = False
        self._lock = Lock()

    async def run(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """What `work` returns; all it wrote is kept, or nothing if it raised."""
        return await asyncio.to_thread(self.run_now, work)

    def run_now(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """`run` for those who may wait."""
        with self._lock:
            if not self._is_ready:
                self._prepare()
                self._is_ready = True
        with closing(self._connect()) as connection, connection:
            return work(connection)

    def _connect(self) -> sqlite3.Connection:
        # The timeout lets instances of one service wait for each other's short writes.
        connection = sqlite3.connect(self._path, timeout=10)
        connection.row_factory = sqlite3.Row
        # A demo's data may be lost with the power, which saves a disk flush for each write.
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    def _prepare(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Of two that switch a new file to WAL at once, SQLite tells one "database is locked" without
        # waiting; so instances take turns. The kernel frees the lock of one that is killed.
        with self._path.with_suffix(".lock").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            with closing(self._connect()) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(self._schema)
