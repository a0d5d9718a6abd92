# SPDX-License-Identifier: Apache-2.0
"""tidegate: load balancer, reverse proxy and API gateway in one program.

The models of a configuration, and what user code needs. Everything is imported when first used, so that
`import tidegate` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidegate.config.backend import Backend, Endpoint
    from tidegate.config.files import Files
    from tidegate.config.function import Function
    from tidegate.config.gateway import Gateway
    from tidegate.config.gateway_settings import Admin, GatewaySettings
    from tidegate.config.listener import Listener
    from tidegate.config.match import Match
    from tidegate.config.problem import ConfigError, Problem
    from tidegate.config.route import Rewrite, Route
    from tidegate.config.secret import Secret, env, file
    from tidegate.config.target import Redirect, Respond
    from tidegate.functions import Request, Response, policy
    from tidegate.weighing import EndpointStatus, weights

_HOMES = {
    "Admin": "config.gateway_settings",
    "Backend": "config.backend",
    "ConfigError": "config.problem",
    "Endpoint": "config.backend",
    "EndpointStatus": "weighing",
    "Files": "config.files",
    "Function": "config.function",
    "Gateway": "config.gateway",
    "GatewaySettings": "config.gateway_settings",
    "Listener": "config.listener",
    "Match": "config.match",
    "Problem": "config.problem",
    "Redirect": "config.target",
    "Request": "functions",
    "Respond": "config.target",
    "Response": "functions",
    "Rewrite": "config.route",
    "Route": "config.route",
    "Secret": "config.secret",
    "env": "config.secret",
    "file": "config.secret",
    "policy": "functions",
    "weights": "weighing",
}

__all__ = [
    "Admin", "Backend", "ConfigError", "Endpoint", "EndpointStatus", "Files", "Function", "Gateway",
    "GatewaySettings", "Listener", "Match", "Problem", "Redirect", "Request", "Respond", "Response",
    "Rewrite", "Route", "Secret", "env", "file", "policy", "weights",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'tidegate' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"tidegate.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
