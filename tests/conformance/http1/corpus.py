# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - tables read better with one row per line
"""The benign corpus, and what arriving whole means for one of its messages."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.http1 import oracle
from tidegate.testing import Message, read_requests

FILE = Path(__file__).parent / "corpus" / "benign.jsonl"
REPLACED = {
    "connection", "keep-alive", "proxy-connection", "proxy-authorization", "te", "transfer-encoding", "upgrade", "content-length",
    "host", "via", "forwarded", "http2-settings", "trailer", "x-real-ip", "x-request-id", "expect",
}  # fmt: skip
"""Fields that a gateway writes itself; the `x-forwarded-` family, too."""


@dataclass(frozen=True)
class Recorded:
    """One recorded message of a real client."""

    client: str
    version: str
    raw: bytes

    @property
    def message(self) -> Message:
        """As the strict reader reads it."""
        (message,) = read_requests(self.raw)
        return message


def load() -> list[Recorded]:
    """The whole corpus, in order of clients."""
    entries = [json.loads(line) for line in FILE.read_text().splitlines()]
    return [
        Recorded(entry["client"], entry["version"], entry["raw_latin1"].encode("latin-1"))
        for entry in entries
    ]


def differences(sent: Message, arrived: Message) -> list[str]:
    """In which ways `arrived` at the endpoint is not what `sent` by the client means; empty for none."""
    meant = oracle.meaning(sent)
    found = []
    for name in ("method", "target"):
        if getattr(arrived, name) != getattr(meant, name):
            found.append(f"{name} {getattr(arrived, name)!r}, expected {getattr(meant, name)!r}")
    if (arrived.get("host") or "") != meant.host:
        found.append(f"host {arrived.get('host')!r}, expected {meant.host!r}")
    if arrived.body != meant.body:
        found.append(f"body {arrived.body[:80]!r}, expected {meant.body[:80]!r}")
    if end_to_end(arrived) != end_to_end(sent):
        found.append(f"fields {end_to_end(arrived)}, expected {end_to_end(sent)}")
    return found


def end_to_end(message: Message) -> list[tuple[str, str]]:
    """The fields that must pass untouched, in order, names in lower case."""
    nominated = {part.strip().lower() for part in (message.get("connection") or "").split(",")}
    fields = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in message.fields]
    gone = REPLACED | (nominated - {"cookie", "authorization"})
    return [
        (name, value) for name, value in fields if name not in gone and not name.startswith("x-forwarded-")
    ]
