# SPDX-License-Identifier: Apache-2.0
"""A gateway under judgement, parts of which may be broken."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from tidegate.config.backend import Backend
from tidegate.config.base import Model
from tidegate.config.function import Function
from tidegate.config.gateway import Gateway
from tidegate.config.gateway_settings import GatewaySettings
from tidegate.config.l4 import TcpRoute, route_model
from tidegate.config.listener import Listener
from tidegate.config.policy import Policies
from tidegate.config.route import Route

Path = tuple[int | str, ...]
Mistake = tuple[Path, str]
"""Where, and what is wrong."""

_M = TypeVar("_M", bound=Model)
_policies: TypeAdapter[list[Model | str]] = TypeAdapter(Policies)


@dataclass(slots=True)
class Draft:
    """A gateway whose broken parts are `None`; their names count as defined, so nothing is said twice.

    A part that is sound without a few of its settings stands without them and is in `mended`: names in
    the rest of it are judged, what it means as a whole is not.
    """

    settings: GatewaySettings | None
    listeners: dict[str, Listener | None]
    backends: dict[str, Backend | None]
    routes: list[Route | TcpRoute | None]
    policies: dict[str, list[Model | str] | None]
    functions: dict[str, Function | None]
    mended: set[Path] = field(default_factory=set)

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
        draft = cls(GatewaySettings(), {}, {}, [], {}, {})
        draft.settings = draft._part(GatewaySettings, ("gateway",), data.get("gateway", {}))
        draft.listeners = draft._named(Listener, "listeners", data)
        draft.backends = draft._named(Backend, "backends", data)
        draft.functions = draft._named(Function, "functions", data)
        routes = data.get("routes")
        if isinstance(routes, list):
            draft.routes = [
                draft._part(route_model(item), ("routes", number), item) for number, item in enumerate(routes)
            ]
        sets = data.get("policies")
        if isinstance(sets, dict):
            draft.policies = {str(name): _policy_set(value) for name, value in sets.items()}
        return draft

    def _named(self, model: type[_M], section: str, data: dict[str, Any]) -> dict[str, _M | None]:
        values = data.get(section)
        if not isinstance(values, dict):
            return {}
        return {str(name): self._part(model, (section, str(name)), value) for name, value in values.items()}

    def _part(self, model: type[_M], path: Path, value: Any) -> _M | None:
        try:
            return model.model_validate(value)
        except ValidationError as error:
            broken = {found["loc"][0] for found in error.errors() if found["loc"]}
        self.mended.add(path)
        if not isinstance(value, dict):
            return None
        if "match" in broken:
            # Its short form stands beside it.
            broken.add("path")
        rest = {key: item for key, item in value.items() if key not in broken}
        if model in (Route, TcpRoute) and "to" not in rest:
            rest["to"] = {"respond": 200} if model is Route else "unix:/broken"
        try:
            return model.model_validate(rest)
        except ValidationError:
            return None


def _policy_set(value: Any) -> list[Model | str] | None:
    try:
        return _policies.validate_python(value)
    except ValidationError:
        return None
