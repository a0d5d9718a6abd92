# SPDX-License-Identifier: Apache-2.0
"""SQLite for a service: one file, shared by the service's instances."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")


class Store:
    """Runs work on a database in a thread, so that the event loop never waits for a disk."""

    def __init__(self, path: Path, schema: str) -> None:
        """
        Args:
            path: The database's file; it and its folder are made when the first work needs them.
            schema: SQL run by each connection; must be harmless when repeated.
        """
        self._path = path
        self._schema = schema

    async def run(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """What `work` returns; all it wrote is kept, or nothing if it raised."""
        return await asyncio.to_thread(self.run_now, work)

    def run_now(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """`run` for those who may wait."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # The timeout lets instances of one service wait for each other's short writes.
        with closing(sqlite3.connect(self._path, timeout=10)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            # A demo's data may be lost with the power, which saves a disk flush for each write.
            connection.execute("PRAGMA synchronous = OFF")
            connection.executescript(self._schema)
            with connection:
                return work(connection)
