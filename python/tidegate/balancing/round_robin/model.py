# SPDX-License-Identifier: Apache-2.0
"""Settings of `round_robin`."""

from __future__ import annotations

from typing import Literal

from tidegate.config.base import Model


class RoundRobin(Model):
    """Endpoints take turns, as often as their weights say, for the whole node."""

    type: Literal["round_robin"] = "round_robin"
    """The room."""
