# SPDX-License-Identifier: Apache-2.0
"""What the services themselves wrote down: request logs and databases. No gateway is asked here."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Seen:
    """A request that reached a service instance."""

    instance: str
    zone: str
    method: str
    path: str
    fields: dict[str, str]

    @property
    def gateway(self) -> str:
        """The last tidegate before the service, from `Via` (RFC 9110 §7.6.3); "" without one."""
        last = self.fields.get("via", "").rpartition(",")[2].split()
        return last[1] if len(last) > 1 else ""


class Evidence:
    """Reads what the services of one demo wrote."""

    def __init__(self, logs: Path, data: Path) -> None:
        self._logs = logs
        self._data = data

    def mark(self) -> dict[str, int]:
        """How long each log is now, for `since`."""
        return {path.stem: path.stat().st_size for path in self._logs.glob("*.jsonl")}

    def since(self, mark: dict[str, int], instance: str = "*", path: str = "/") -> list[Seen]:
        """The requests that arrived since `mark`, by instance and in each one's order.

        Args:
            mark: From `mark`.
            instance: One instance, `payment-*`, or all.
            path: How the requests' paths begin.
        """
        found = []
        for log in sorted(self._logs.glob(f"{instance}.jsonl")):
            for line in _lines(log, mark.get(log.stem, 0)):
                if line["event"] == "request" and line["path"].startswith(path):
                    seen = (line["instance"], line["zone"], line["method"], line["path"], line["fields"])
                    found.append(Seen(*seen))
        return found

    def rows(self, service: str, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What a query finds in a service's database, opened for reading only."""
        address = f"file:{self._data / service}.sqlite?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=10)) as connection:
            return list(connection.execute(query, values))


def _lines(path: Path, offset: int) -> list[dict[str, Any]]:
    with path.open("rb") as file:
        file.seek(offset)
        text = file.read()
    # A line that is being written ends without a line feed; it is read next time.
    whole = text[: text.rfind(b"\n") + 1]
    return [json.loads(line) for line in whole.splitlines()]
