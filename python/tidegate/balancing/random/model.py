# SPDX-License-Identifier: Apache-2.0
"""Settings of `random`."""

from __future__ import annotations

from typing import Literal

from tidegate.config.base import Model


class Random(Model):
    """Each request goes to an endpoint drawn at random, by weight."""

    type: Literal["random"] = "random"
    """The room."""
