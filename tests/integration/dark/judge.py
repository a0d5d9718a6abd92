# SPDX-License-Identifier: Apache-2.0
"""What was lost when something died under load, and whether that was allowed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from .ledger import POST_EVERY, Entry

SECONDS = float(os.environ.get("TIDEGATE_ZONE_SECONDS", "0"))
"""Of the load in its full form; 0 is the short one."""
RATE = 2_100 if SECONDS else 300
"""Requests a second that are offered."""
BEFORE = SECONDS / 3 or 1.0
AFTER = SECONDS * 2 / 3 or 2.0
MOST_SENDS = 1.10


@dataclass(frozen=True)
class Death:
    """When something began to die, was dead, and was known to be by those who send to it (nanoseconds)."""

    begun: int
    done: int
    noticed: int

    @property
    def detection(self) -> float:
        """Seconds until it was known."""
        return (self.noticed - self.begun) / 1e9


@dataclass(frozen=True)
class Case:
    """All that is known after one death.

    `reached` counts how often each request came to any service, `elsewhere` those that came to what stands in
    for what died; `sends` are the requests that those who send to both counted, and `share` is the
    part of the load that what died had.
    """

    name: str
    entries: Sequence[Entry]
    death: Death
    reached: Counter[int]
    elsewhere: Counter[int]
    sends: int
    budget: int
    share: float = 0.5

    @property
    def lost(self) -> list[Entry]:
        """What was not answered well."""
        return [entry for entry in self.entries if entry.outcome != "ok"]

    @property
    def in_flight(self) -> list[Entry]:
        """POSTs that were there when it died, or on the way there."""
        return [
            entry
            for entry in self.entries
            if entry.is_post
            and entry.was_open(self.death.begun, self.death.done)
            and entry.number not in self.elsewhere
        ]

    @property
    def allowed(self) -> float:
        """POSTs that may be lost: those in flight, and what is sent there until it is known to be dead."""
        until_known = RATE / POST_EVERY * self.share * self.death.detection
        return len(self.in_flight) + until_known

    def told(self) -> str:
        """One line for people."""
        lost = self.lost
        last = max(((entry.ended - self.death.begun) / 1e9 for entry in lost), default=0.0)
        slowest = max((entry.ended - entry.begun for entry in self.entries), default=0) / 1e6
        gets = sum(not entry.is_post for entry in lost)
        how = dict(Counter(entry.outcome for entry in lost))
        span = (self.entries[-1].begun - self.entries[0].begun) / 1e9
        return (
            f"{self.name}: offered {len(self.entries)} in {span:.1f} s ({len(self.entries) / span:.0f}/s); "
            f"lost {gets} GETs and {len(lost) - gets} POSTs {how}, "
            f"allowed {self.allowed:.0f} POSTs ({len(self.in_flight)} in flight); "
            f"known after {self.death.detection * 1000:.0f} ms; last failure after {last * 1000:.0f} ms; "
            f"slowest {slowest:.0f} ms; sends {self.sends} ({self.sends / len(self.entries):.3f} x offered), "
            f"retry budget {self.budget}"
        )

    def judge(self) -> None:
        """Says what happened, and fails if more was lost than had to be."""
        told = self.told()
        print(told)
        assert all(entry.is_post for entry in self.lost), told
        assert len(self.lost) <= self.allowed, told
        for entry in self.lost:
            # What nobody else had is lost for good; what somebody else had was answered.
            assert entry.ended >= self.death.begun and entry.number not in self.elsewhere, (entry, told)
        twice = [entry for entry in self.entries if entry.is_post and self.reached[entry.number] > 1]
        assert not twice, (twice, told)
        assert all(self.reached[entry.number] for entry in self.entries if entry.outcome == "ok"), told
        assert sum(self.reached.values()) <= self.sends, told
        # The short form has the sends of a minute's death in far fewer seconds.
        offered = max(len(self.entries), RATE * 60)
        assert self.sends - len(self.entries) <= (MOST_SENDS - 1) * offered, told
