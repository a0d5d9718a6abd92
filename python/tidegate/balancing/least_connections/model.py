# SPDX-License-Identifier: Apache-2.0
"""Settings of `least_connections`."""

from __future__ import annotations

from typing import Literal

from tidegate.config.base import Model


class LeastConnections(Model):
    """Each request goes to the endpoint that is the least busy of all."""

    type: Literal["least_connections"] = "least_connections"
    """The room."""
