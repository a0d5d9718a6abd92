# SPDX-License-Identifier: Apache-2.0
"""Asks in one version of HTTP and no other, and reads what the load balancer logged of it."""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from typing import Any

from tidegate.demo.client import NAME, Pending, Told, wait_for
from tidegate.demo.tour.step import Tour

PATIENCE = 10.0
ACCEPT = ("accept", "text/html")


@dataclass(frozen=True)
class Spoken:
    """What came back, and in which protocol."""

    status: int
    """0 when there was no answer."""
    protocol: str
    """What was agreed on inside of TLS, by its name of ALPN (RFC 7301)."""
    body: bytes
    failure: str = ""


def ask_version(tour: Tour, version: str, path: str) -> Spoken:
    """GETs `path` from the load balancer in version `1.1`, `2` or `3`. Never raises."""
    try:
        return _first(tour, path) if version == "1.1" else _later(tour, version, path)
    except (OSError, http.client.HTTPException) as error:
        return Spoken(0, "", b"", str(error) or type(error).__name__)


def _first(tour: Tour, path: str) -> Spoken:
    running = tour.running
    trust = ssl.create_default_context(cafile=str(running.certificate.authority))
    trust.set_alpn_protocols(["http/1.1"])
    fields = dict([ACCEPT])
    pending = Pending(running.entry, path, None, fields, PATIENCE, tour.ledger, trust)
    protocol = pending.protocol
    status, _, body = pending.finish()
    return Spoken(status, protocol, body)


def _later(tour: Tour, version: str, path: str) -> Spoken:
    # Python has neither HTTP/2 nor HTTP/3, the engine both.
    from tidegate import _engine

    running = tour.running
    host = f"{NAME}:{running.places.port}"
    trusted = running.certificate.authority.read_text()
    told = _engine.ask(version, running.entry, NAME, host, path, [ACCEPT], trusted, PATIENCE)
    protocol, status, fields, body = told
    tour.ledger.note(Told(path, status, "", fields, body))
    return Spoken(status, protocol, body)


def logged(tour: Tour, name: str, offset: int, protocol: str) -> dict[str, Any]:
    """The access log's first line behind `offset` of a customer's request in `protocol`; `{}` without one.

    The line of a request is written when its answer was taken, which may be just after that.
    """
    found: list[dict[str, Any]] = []

    def is_there() -> bool:
        lines = tour.running.instances[name].output.read_bytes()[offset:].splitlines(keepends=True)
        entries = [json.loads(line) for line in lines if line.startswith(b"{") and line.endswith(b"}\n")]
        public = [entry for entry in entries if entry.get("listener") == "public"]
        found.extend(entry for entry in public if entry["protocol"] == protocol)
        return bool(found)

    wait_for(is_there, PATIENCE)
    return found[0] if found else {}


def log_size(tour: Tour, name: str) -> int:
    """How long an instance's log is now, for `logged`."""
    return tour.running.instances[name].output.stat().st_size
