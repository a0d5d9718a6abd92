# SPDX-License-Identifier: Apache-2.0
"""Whether an answer tells customers what they must not know: where services are, and what they run on."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tidegate.demo.client import Ledger, Told

FORBIDDEN_FIELDS = ("server", "x-powered-by")
"""Response fields that say what a service runs on."""


def leaks(ledger: Ledger, hidden: Iterable[str]) -> list[str]:
    """What gives a service away, one line for each answer that does, `path: what`.

    Args:
        ledger: The answers, whose heads and bodies are looked through.
        hidden: `IP:port` of everything that clients are not to know. An address counts alone, too, and so
            does each of the ports behind a colon.
    """
    pattern = _pattern(hidden)
    found = []
    for answer in list(ledger.answers):
        if what := _leak(answer, pattern):
            found.append(f"{answer.path}: {what}")
    return found


def _pattern(hidden: Iterable[str]) -> re.Pattern[str]:
    pairs = [address.rpartition(":") for address in hidden]
    hosts = "|".join(sorted({re.escape(host) for host, _, _ in pairs}))
    ports = "|".join(sorted({port for _, _, port in pairs}))
    # 127.0.1.1 is no part of 127.0.1.11, and :7070 none of :70700.
    return re.compile(rf"(?<![\d.])(?:{hosts})(?![\d])|:(?:{ports})(?!\d)")


def _leak(answer: Told, pattern: re.Pattern[str]) -> str:
    for name, value in answer.head:
        if name.lower() in FORBIDDEN_FIELDS:
            return f"{name}: {value}"
        if match := pattern.search(value):
            return f"{match[0]} in {name}: {value}"
    if match := pattern.search(answer.reason):
        return f"{match[0]} in its reason"
    match = pattern.search(answer.body.decode("latin-1"))
    return f"{match[0]} in its body" if match else ""
