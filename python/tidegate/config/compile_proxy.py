# SPDX-License-Identifier: Apache-2.0
"""What a forward proxy becomes besides its listener: a route, and a backend without endpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from tidegate.config.backend import Backend, BackendLimits, BackendTimeouts, Pool
from tidegate.config.base import Model
from tidegate.config.forward_proxy import ForwardProxy
from tidegate.config.listener import Listener
from tidegate.config.overload import PassiveHealth
from tidegate.config.route import Route
from tidegate.config.units import ByteSize

_ANY_SIZE: Final = ByteSize("1024GiB")
Add = Callable[[str, str, Any, tuple[int | str, ...]], None]
"""Adds a resource by kind, name, value and where it is written."""


def proxy_settings(listener: Listener) -> ForwardProxy:
    """What a forward proxy is to do."""
    return listener.forward or ForwardProxy()


def compile_proxies(
    listeners: Mapping[str, Listener], value: Callable[[Model], dict[str, Any]], add: Add
) -> list[str]:
    """Adds what forward proxies ask other servers by; returns the names of the routes.

    Args:
        value: A model as the node reads it.
    """
    names: list[str] = []
    for name, listener in listeners.items():
        if listener.protocol != "forward":
            continue
        path = ("listeners", name)
        add("backend", f"forward:{name}", value(_backend(listener)) | {"start_wait": None}, path)
        for own, (route, more) in _routes(name, listener):
            add("route", own, value(route) | more, path)
            names.append(own)
    return names


def _backend(listener: Listener) -> Backend:
    """The terms on which a forward proxy asks other servers, whose addresses are found for each request."""
    timeouts = proxy_settings(listener).timeouts
    return Backend(
        timeouts=BackendTimeouts(
            connect=timeouts.connect, first_byte=timeouts.first_byte, stall=timeouts.stall
        ),
        # What is down is down for whoever asks next, too: he is told by his own try.
        passive_health=PassiveHealth(failures=1_000),
        pass_server=True,
        limits=BackendLimits(connections=1_000_000),
        pool=Pool(idle=8),
    )


def _routes(name: str, listener: Listener) -> Iterator[tuple[str, tuple[Route, dict[str, Any]]]]:
    """The routes of a forward proxy, by name, and what of each a user can not write."""
    own = proxy_settings(listener)
    # Nothing is bounded by default that a client sends to others.
    size = listener.limits.body_size if "body_size" in listener.limits.model_fields_set else _ANY_SIZE
    timeouts: dict[str, Any] = {"upgraded_idle": own.timeouts.idle, "upgraded_life": own.timeouts.life}
    route = Route.model_validate(
        {"listeners": [name], "path": "/", "to": {"respond": 200}, "timeouts": timeouts, "body_size": size}
    )
    to = {"type": "forward", "backends": [{"backend": f"forward:{name}", "weight": 1}]}
    yield f"forward:{name}", (route, {"to": to})
    if own.pac is not None:
        headers = {"Content-Type": "application/x-ns-proxy-autoconfig"}
        respond = {"status": 200, "headers": headers, "body": own.pac.text(listener.tls is not None)}
        match = {"path": {"exact": own.pac.path}, "methods": ["GET", "HEAD"]}
        route = Route.model_validate({"listeners": [name], "match": match, "to": {"respond": respond}})
        yield f"forward:{name}/pac", (route, {})
