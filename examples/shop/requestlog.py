# SPDX-License-Identifier: Apache-2.0
"""The log each service keeps of what reached it: the tour believes this, not the gateway."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

SHOWN_FIELDS = (
    "host",
    "via",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-request-id",
    "traceparent",
    "x-tier",
)
"""Request fields worth a look when one wonders what a gateway passed on."""


class RequestLog:
    """Appends JSON lines to one file: `{"event": "request" | "answer", ...}`.

    A request is written when it arrives and not only when it is answered, because a request that
    is held is one that reached the instance.
    """

    def __init__(self, path: Path, instance: str, zone: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Line buffering: each line is one write, so a reader never sees half of one for long.
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._instance = instance
        self._zone = zone

    def request(self, number: int, method: str, path: str, fields: Mapping[str, str]) -> None:
        """Writes that request `number` of this process arrived."""
        shown = {name: fields[name] for name in SHOWN_FIELDS if name in fields}
        self._write("request", number, method=method, path=path, fields=shown)

    def answer(self, number: int, status: int, seconds: float) -> None:
        """Writes that request `number` was answered after `seconds`."""
        self._write("answer", number, status=status, ms=round(seconds * 1000, 2))

    def _write(self, event: str, number: int, **more: object) -> None:
        line = {"event": event, "number": number, "time": time.time(), "instance": self._instance}
        self._file.write(json.dumps({**line, "zone": self._zone, **more}) + "\n")
