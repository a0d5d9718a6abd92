# SPDX-License-Identifier: Apache-2.0
"""The whole configuration: what a `tidegate.yaml` holds."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tidegate.config.backend import Backend
from tidegate.config.base import Model
from tidegate.config.function import Function
from tidegate.config.gateway_settings import GatewaySettings
from tidegate.config.listener import Listener
from tidegate.config.policy import Policies
from tidegate.config.route import Route
from tidegate.config.types import Name


class Gateway(Model):
    """A whole configuration."""

    gateway: GatewaySettings = GatewaySettings()
    """What concerns the whole gateway."""
    listeners: dict[Name, Listener] = Field(default_factory=dict)
    """Where connections are accepted, by name."""
    backends: dict[Name, Backend] = Field(default_factory=dict)
    """Groups of endpoints, by name."""
    routes: list[Route] = Field(default_factory=list)
    """Which requests go where; among equals the first one wins."""
    policies: dict[Name, Policies] = Field(default_factory=dict)
    """Sets of policies that others name."""
    functions: dict[Name, Function] = Field(default_factory=dict)
    """User code in function workers, by name."""

    not_yet: ClassVar[dict[str, str]] = {
        "apis": "", "stores": "", "certificates": "", "products": "", "plans": "",
        "regions": "", "steering": "",
        "secrets": "",
        "portal": "", "fleet": "",
    }  # fmt: skip
