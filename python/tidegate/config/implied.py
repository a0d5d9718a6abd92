# SPDX-License-Identifier: Apache-2.0
"""Functions, backends and routes that a configuration needs without naming them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal

from tidegate.config.addresses import BackendUrl
from tidegate.config.backend import Backend, Endpoint
from tidegate.config.backend_tls import BackendTls
from tidegate.config.base import Model
from tidegate.config.custom_policy import CustomPolicy
from tidegate.config.function import Function
from tidegate.config.gateway import Gateway
from tidegate.config.route import Route
from tidegate.config.units import ByteSize

COMMANDS: Final = "tidegate.commands"
"""The function that runs commands of health checks, as `crates/health/src/command` calls it."""


def implied(backends: Mapping[str, Backend]) -> dict[str, Function]:
    """By name: what runs commands, if a backend's health check is one."""
    if not any(getattr(backend.health_check, "type", None) == "command" for backend in backends.values()):
        return {}
    handler = "tidegate.functions._command:run"
    # The memory limit is that of each command, too.
    function = Function(handler=handler, kind="health_check", concurrency=16, memory=ByteSize("1GiB"))
    return {COMMANDS: function}


def custom(gateway: Gateway) -> dict[str, type[CustomPolicy]]:
    """By type: the policies of others that are used somewhere."""
    lists: list[Iterable[Model | str]] = [gateway.gateway.policies, *gateway.policies.values()]
    lists += [listener.policies for listener in gateway.listeners.values()]
    lists += [route.policies for route in gateway.http_routes if route.policies]
    lists += [backend.policies for backend in gateway.backends.values()]
    return {
        str(use.type): type(use)  # type: ignore[attr-defined]
        for uses in lists
        for use in uses
        if isinstance(use, CustomPolicy)
    }


def user_functions(gateway: Gateway) -> dict[str, Function]:
    """By name: the functions of section `functions`, and those that run policies of others."""
    return {tag: model.runs() for tag, model in custom(gateway).items()} | gateway.functions


def backend_of(url: BackendUrl) -> Backend:
    """The backend that a URL stands for."""
    endpoints = [Endpoint(address=url.address)]
    if not url.is_secured:
        return Backend(endpoints=endpoints)
    # A site is asked for by its own name, in TLS and in HTTP: most refuse the name of another.
    host: Literal["keep", "endpoint"] = "endpoint" if url.is_site else "keep"
    return Backend(endpoints=endpoints, tls=BackendTls(), host=host)


def page_route(listener: str, path: str) -> Route:
    """A route to a page of tidegate itself; which one is for others to say."""
    match = {"path": {"exact": path}, "methods": ["GET", "HEAD"]}
    return Route.model_validate({"listeners": [listener], "match": match, "to": {"respond": 200}})
