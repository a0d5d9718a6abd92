# SPDX-License-Identifier: Apache-2.0
"""When a certificate is renewed, and when it is tried again."""

from __future__ import annotations

import base64
import random
from typing import Any, Final

from tidegate.issuing.store import Attempt

MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 86_400

PASSING: Final = frozenset({"unreachable", "timeout", "unusable", "serverInternal", "badNonce", "store"})
"""What is most often over soon, and costs nothing at the authority."""


def after_failure(before: Attempt, kind: str, says: str, retry_after: int, now: int) -> Attempt:
    """What is remembered of one more failure.

    An authority counts proofs that fail (five an hour for a name are common), so the second of them waits ten
    minutes, and the time doubles up to half a day. Where only the way to it was cut, it is a minute, and an
    hour at most. What the authority says itself comes first.
    """
    failures = before.failures + 1
    first, most = (MINUTE, HOUR) if kind in PASSING else (5 * MINUTE, 12 * HOUR)
    wait = min(most, first << min(failures - 1, 20))
    if kind == "rateLimited":
        wait = max(wait, HOUR)
    wait = max(wait, min(retry_after, 7 * DAY))
    # Spread, so that a hundred names that failed together do not come back together.
    return Attempt(failures, now + wait + random.randrange(wait // 10 + 1), kind, says, now)


def by_life(not_before: int, not_after: int) -> int:
    """When to renew where the authority says nothing: with a third of its life left, or a little less."""
    life = max(not_after - not_before, 0)
    return not_after - life // 3 + random.randrange(life // 30 + 1)


def by_window(begin: int, end: int, not_before: int, not_after: int) -> int:
    """A moment in the window that the authority wants (RFC 9773 §4.2), and never too late."""
    chosen = begin + random.randrange(max(end - begin, 0) + 1)
    return min(chosen, not_after - max(not_after - not_before, 0) // 10)


def renewal_id(details: dict[str, Any]) -> str:
    """What an authority knows a certificate by (RFC 9773 §4.1); empty where it does not say who signed it."""

    def coded(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).decode().rstrip("=")

    key: bytes = details["authority_key"]
    return f"{coded(key)}.{coded(details['serial'])}" if key else ""
