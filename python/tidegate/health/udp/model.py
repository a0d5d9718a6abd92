# SPDX-License-Identifier: Apache-2.0
"""Settings of `udp`."""

from __future__ import annotations

from typing import Literal

from tidegate.config.pace import Pace
from tidegate.config.types import WrittenBytes


class UdpCheck(Pace):
    """An endpoint is well if it answers a datagram."""

    type: Literal["udp"] = "udp"
    """The room."""
    send: WrittenBytes
    """What is sent: text, or bytes behind `hex:` (`hex:ffffffff54`)."""
    expect: WrittenBytes | None = None
    """What must be in the answer, written likewise; without it any answer will do."""
