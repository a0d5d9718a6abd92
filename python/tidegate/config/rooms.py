# SPDX-License-Identifier: Apache-2.0
"""Finds rooms: the folder `tidegate.<area>.<tag>`, or a third party's entry point
`tidegate.<area>` of another name.

A room is imported when a configuration names it first; listing the tags imports nothing.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from functools import cache
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema, to_json

from tidegate.config.base import Model, refuse
from tidegate.config.custom_policy import CustomPolicy
from tidegate.config.policy_settings import Disable, PolicySettings
from tidegate.config.suggest import did_you_mean

AREAS = ("balancing", "policies", "health")
"""Areas whose rooms run in the engine."""
CONTROL_AREAS = ("discovery",)
"""Areas whose rooms run in control, in Python alone."""
# Tags of rooms that issues promise, so that their absence is named instead of guessed at.
_NOT_YET = {
    "balancing": frozenset(
        [
            "least_time",
        ]
    ),
    "policies": frozenset(
        [
            "oidc",
            "oauth2",
            "rate_limit",
            "quota",
            "cache",
            "compress",
            "waf",
            "transform",
            "body_limit",
            "retry",
            "circuit_breaker",
            "concurrency",
            "csrf",
            "geo",
            "hmac",
            "ldap",
            "saml",
            "validate",
            "mock",
        ]
    ),
    "discovery": frozenset(["docker", "consul", "kubernetes", "etcd", "nomad"]),
    "health": frozenset(["redis", "mysql", "postgres", "passive", "agent", "tls", "udp"]),
}

# Names that other proxies have for what is called otherwise here, and what to write.
_ELSEWHERE = {
    "policies": {
        "key_auth": "write `api_key`",
        "apikey": "write `api_key`",
        "basic_auth": "write `basic`",
        "basicauth": "write `basic`",
        "htpasswd": "write `basic`, and the file as its `htpasswd`",
        "ip_filter": "write `ip_allow` or `ip_deny`",
        "ip_restriction": "write `ip_allow` or `ip_deny`",
        "ip_allowlist": "write `ip_allow`",
        "ip_whitelist": "write `ip_allow`",
        "ip_blacklist": "write `ip_deny`",
        "headers": "write `request_headers` or `response_headers`",
    },
    "balancing": {
        "cookie": "write `affinity: cookie` on the backend",
        "sticky": "write `affinity: cookie` on the backend",
        "first": "give the endpoints a `priority`",
        "hash": "write `maglev` or `ring_hash`, and what is hashed as `hash` on the backend",
        "consistent_hash": "write `maglev` or `ring_hash`, and what is hashed as `hash` on the backend",
        "uri": "write `ring_hash` or `maglev`, and `hash: path` on the backend",
        "source": "write `ip_hash`",
        "p2c": "write `least_request`",
        "ewma": "write `peak_ewma`",
        "wrr": "write `round_robin`, which goes by weight as well",
        "weighted_round_robin": "write `round_robin`, which goes by weight as well",
        "weighted_random": "write `random`, which goes by weight as well",
    },
}


@cache
def tags(area: str) -> tuple[str, ...]:
    """The tags of all rooms of an area, sorted; nothing is imported but the area itself."""
    return tuple(sorted(_own(area) | {point.name for point in _foreign(area)}))


@cache
def _own(area: str) -> frozenset[str]:
    package = importlib.import_module(f"tidegate.{area}")
    return frozenset(module.name for module in pkgutil.iter_modules(package.__path__) if module.ispkg)


def _is_known(area: str, tag: str) -> bool:
    return tag in _own(area) or tag in tags(area)


@cache
def _foreign(area: str) -> Any:
    # Reads the metadata of all that is installed, which takes a while.
    from importlib.metadata import entry_points

    return entry_points(group=f"tidegate.{area}")


@cache
def room(area: str, tag: str) -> type[Model]:
    """The settings model of a room.

    Raises:
        KeyError: There is no such room.
        TypeError: The room's package does not name its model `Settings`, or what its entry point names can
            be no room.
    """
    if tag in _own(area):
        return _model(importlib.import_module(f"tidegate.{area}.{tag}"), area, tag)
    points = {point.value: point for point in _foreign(area) if point.name == tag}
    if not points:
        raise KeyError(tag)
    if len(points) > 1:
        raise TypeError(f"several packages have one: {', '.join(f'`{each}`' for each in sorted(points))}")
    (point,) = points.values()
    model = _model(point.load(), area, tag)
    if area == "policies":
        if not issubclass(model, CustomPolicy):
            raise TypeError(f"{model.__qualname__} does not derive from `tidegate.CustomPolicy`")
        model.judge(tag)
    return model


def _model(found: Any, area: str, tag: str) -> type[Model]:
    settings = found if isinstance(found, type) else getattr(found, "Settings", None)
    if not (isinstance(settings, type) and issubclass(settings, Model)):
        raise TypeError(f"the room {area}/{tag} has no model named `Settings`")
    return settings


class Rooms:
    """As annotation metadata: the field holds the settings of any room of one area.

    Accepts a model of a room, `{type: tag, ...}`, or the bare tag of a room without required settings.
    """

    def __init__(self, area: str, *, optional: bool = False, named: bool = False) -> None:
        self.area = area
        self.optional = optional
        self.named = named

    def __repr__(self) -> str:
        return f"Rooms({self.area!r})"

    def validate(self, value: Any) -> Model | str | None:
        """Finds the room by its tag and lets its model read the settings."""
        if value is None and self.optional:
            return None
        if isinstance(value, str):
            if self.named:
                return value
            value = {"type": value}
        if self.named and (isinstance(value, Disable) or _disables(value)):
            return Disable.model_validate(value)
        if isinstance(value, Model):
            return self._built(value)
        if not isinstance(value, dict):
            raise refuse(f"must be a mapping with a `type`; {self._examples()}", "room")
        tag = value.get("type")
        if not isinstance(tag, str):
            raise refuse(f"has no `type`; {self._examples()}", "room")
        if not _is_known(self.area, tag):
            if instead := _ELSEWHERE.get(self.area, {}).get(tag):
                raise refuse(f"`{tag}` is no type here; {instead}", "room_type")
            if tag in _NOT_YET[self.area]:
                raise refuse(f"`{tag}` does not exist yet in this version; {self._examples()}", "room_type")
            if self.area == "health" and tag.startswith("/"):
                raise refuse(f'a text alone is a type; write `{{ type: http, path: "{tag}" }}`', "room_type")
            raise refuse(f"no such type `{tag}`{did_you_mean(tag, tags(self.area))}", "room_type")
        return self._checked(self._room(tag).model_validate(value))

    def _built(self, value: Model) -> Model:
        tag = getattr(value, "type", None)
        if isinstance(tag, str) and self.area == "policies" and isinstance(value, CustomPolicy):
            # One that is no installed package's belongs to the configuration in Python that has it.
            if not _is_known(self.area, tag) or isinstance(value, self._room(tag)):
                return self._checked(value)
            raise refuse(f"`{type(value).__name__}` is another class than the type `{tag}` has", "room")
        if (
            not isinstance(tag, str)
            or not _is_known(self.area, tag)
            or not isinstance(value, self._room(tag))
        ):
            raise refuse(f"`{type(value).__name__}` does not belong here; {self._examples()}", "room")
        return value

    def _room(self, tag: str) -> type[Model]:
        if tag in _own(self.area):
            return room(self.area, tag)
        try:
            return room(self.area, tag)
        except Exception as error:
            # Whatever a package does while it is imported.
            text = f"{error}" if isinstance(error, TypeError) else f"{type(error).__name__}: {error}"
            raise refuse(f"`{tag}` is of a package that can not be used: {text}", "room_type") from error

    @staticmethod
    def _checked(value: Model) -> Model:
        if not isinstance(value, CustomPolicy):
            return value
        try:
            value.judge(str(value.type))  # type: ignore[attr-defined]
            return value.checked()
        except TypeError as error:
            raise refuse(str(error), "room") from None

    def _examples(self) -> str:
        return "there are " + ", ".join(f"`{tag}`" for tag in tags(self.area))

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.validate,
            serialization=core_schema.plain_serializer_function_ser_schema(_dump, info_arg=True),
        )


def _dump(value: Model | str | None, info: core_schema.SerializationInfo) -> Any:
    """As the snapshot has it: `{kind, settings}`; a set's name stays for `compile.py` to expand."""
    if not isinstance(value, Model):
        return value
    return sent(value, info.mode, info.context)


def _disables(value: Any) -> bool:
    return isinstance(value, dict) and "disable" in value and "type" not in value


def sent(value: Model, mode: str = "python", context: Any = None) -> dict[str, Any]:
    """A room's settings as the snapshot has them, with what all rooms of its area have."""
    if isinstance(value, Disable):
        return {"kind": "disable", "settings": {}, "name": value.disable}
    hidden = {"type", *type(value).control_only()}
    told = value.use() if isinstance(value, PolicySettings) else {}
    if isinstance(value, CustomPolicy):
        return _sent_to_code(value, told, mode, context)
    settings = value.model_dump(mode=mode, exclude=hidden, context=context)
    return {"kind": value.type, "settings": settings, **told}  # type: ignore[attr-defined]


def _sent_to_code(value: CustomPolicy, told: dict[str, Any], mode: str, context: Any) -> dict[str, Any]:
    """A policy of somebody else: for the node it is one of the room `python`."""
    given: Any = value.given()
    if mode == "json":
        given = json.loads(to_json(given, fallback=context or str))
    settings = {"function": value.type, "body": value.limit(), "given": given}  # type: ignore[attr-defined]
    return {"kind": "python", "settings": settings, **told, "name": value.called}
