# SPDX-License-Identifier: Apache-2.0
"""Settings of `peak_ewma`."""

from __future__ import annotations

from typing import Literal

from tidegate.config.base import Model
from tidegate.config.types import Duration


class PeakEwma(Model):
    """Each request goes to the one of two endpoints that should answer sooner."""

    type: Literal["peak_ewma"] = "peak_ewma"
    """The room."""
    decay: Duration = Duration("10s")
    """The time in which about two thirds of what is known of a latency is forgotten; above 0."""
    failure: Duration = Duration("1s")
    """What a failure counts as, at least: a broken or late answer, or one of status 502, 503 or 504."""
