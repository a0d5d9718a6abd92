# SPDX-License-Identifier: Apache-2.0
"""What only the whole shows: dangling names, listeners in each other's way, routes that can never be reached."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from tidegate.config.backend import Backend
from tidegate.config.function import Function
from tidegate.config.gateway import Gateway
from tidegate.config.gateway_settings import GatewaySettings
from tidegate.config.listener import Listener
from tidegate.config.route import Route

Path = tuple[int | str, ...]
Mistake = tuple[Path, str]


@dataclass(slots=True)
class Draft:
    """A gateway, parts of which may be broken: they are `None`, and their names count as defined."""

    settings: GatewaySettings | None
    listeners: dict[str, Listener | None]
    backends: dict[str, Backend | None]
    routes: list[Route | None]
    policies: dict[str, list[Any] | None]
    functions: dict[str, Function | None]

    @classmethod
    def of(cls, gateway: Gateway) -> Draft:
        """A sound one."""
        return cls(
            gateway.gateway,
            dict(gateway.listeners),
            dict(gateway.backends),
            list(gateway.routes),
            dict(gateway.policies),
            dict(gateway.functions),
        )

    @classmethod
    def sound_parts(cls, data: dict[str, Any]) -> Draft:
        """What can be read of data that as a whole can not."""
        routes = data.get("routes")
        return cls(
            _part(GatewaySettings, data.get("gateway", {})),
            _named(Listener, data.get("listeners")),
            _named(Backend, data.get("backends")),
            [_part(Route, item) for item in routes] if isinstance(routes, list) else [],
            {},
            _named(Function, data.get("functions")),
        )


def _part(model: Any, value: Any) -> Any:
    try:
        return model.model_validate(value)
    except ValidationError:
        return None


def _named(model: Any, section: Any) -> dict[str, Any]:
    return {name: _part(model, value) for name, value in section.items()} if isinstance(section, dict) else {}


def check(draft: Draft) -> Iterator[Mistake]:
    """Every mistake of the whole as (path, message)."""
    return iter(())
