# SPDX-License-Identifier: Apache-2.0
"""What a source says to control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tidegate.config.backend import Endpoint


class Report(Protocol):
    """Takes what a source finds. Whatever it does not find, the last set stays."""

    def found(self, endpoints: Sequence[Endpoint]) -> None:
        """This is all there is; an empty list is a failure, too."""

    def unchanged(self) -> None:
        """What was found last still holds: it was looked at, and is the same."""

    def failed(self, reason: str) -> None:
        """It could not be found out, and why, for the log."""
