# SPDX-License-Identifier: Apache-2.0
"""What only the whole shows: dangling names, listeners in each other's way, combinations that can not work.

Routes that can never be reached are in `reach.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tidegate.config import addresses
from tidegate.config.base import Model
from tidegate.config.check_l4 import connections
from tidegate.config.check_policies import custom, disabled, lists
from tidegate.config.draft import Draft, Mistake, Path
from tidegate.config.gateway import Gateway
from tidegate.config.implied import COMMANDS
from tidegate.config.l4 import TcpRoute
from tidegate.config.naming import question_name, route_name
from tidegate.config.policy_settings import Disable
from tidegate.config.problem import ConfigError, Problem
from tidegate.config.reach import unreachable
from tidegate.config.references import references
from tidegate.config.route import Route
from tidegate.config.suggest import did_you_mean

__all__ = ["ADMIN", "ADMIN_ROUTES", "Draft", "Mistake", "Path", "check", "check_gateway"]

ADMIN: Final = "admin"
"""The listener that `gateway.admin` becomes."""
REGISTRATION: Final = "admin/endpoints"
"""Its route by which instances register themselves, if a backend lets them."""
ADMIN_ROUTES: Final = {"admin/metrics": "metrics", "admin/healthz": "health"}
"""Its routes, and the page of each."""


def check(draft: Draft) -> Iterator[Mistake]:
    """Every mistake of the whole."""
    yield from _listeners(draft)
    yield from _policies(draft)
    yield from disabled(draft)
    yield from custom(draft)
    yield from _zones(draft)
    yield from _cookies(draft)
    yield from _targets(draft)
    yield from _functions(draft)
    yield from _route_names(draft)
    yield from connections(draft)
    yield from unreachable(draft)


def check_gateway(gateway: Gateway) -> None:
    """Checks a gateway built in Python.

    Raises:
        ConfigError: Every mistake, at the line of Python code that built the part.
    """
    problems = [_problem(gateway, path, says) for path, says in check(Draft.of(gateway))]
    if problems:
        raise ConfigError(problems)


def _problem(gateway: Gateway, path: Path, says: str) -> Problem:
    from tidegate.config.errors import path_text

    value: object = gateway
    file, line = gateway.source or ("", 0)
    for part in path:
        if isinstance(value, Model):
            value = getattr(value, str(part), None)
        elif isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int):
            value = value[part]
        if isinstance(value, Model) and value.source is not None:
            file, line = value.source
    return Problem(says, path_text(list(path)), file, line)


def _listeners(draft: Draft) -> Iterator[Mistake]:
    admin = draft.settings.admin if draft.settings is not None else None
    if draft.routes and not draft.listeners:
        yield ("routes",), "no listener takes their requests; write `listeners: { web: { port: 8080 } }`"
    taken: list[tuple[str, str, int, bool]] = []
    if admin is not None:
        if ADMIN in draft.listeners:
            yield (
                ("listeners", ADMIN),
                "`admin` is the name of the listener of `gateway.admin`; choose another",
            )
        taken.append(("`gateway.admin`", admin.address, admin.port, False))
    for name, listener in draft.listeners.items():
        if listener is None or ("listeners", name) in draft.mended:
            continue
        if listener.redirect is not None:
            secured = [
                each.port for each in draft.listeners.values() if each is not None and each.is_secured_http
            ]
            try:
                if None not in draft.listeners.values():
                    listener.redirect.port_among(secured)
            except ValueError as error:
                yield ("listeners", name, "redirect"), str(error)
        is_udp = listener.protocol == "udp"
        for other, address, port, of_udp in taken:
            if is_udp == of_udp and _overlap(listener.address, listener.port, address, port):
                host = f"[{address}]" if ":" in address and port else address
                place = f"{host}:{port}" if port else host
                yield (
                    ("listeners", name),
                    f"takes connections that {other} takes already ({place}); change the port or the address",
                )
                break
        else:
            taken.append((f"listener `{name}`", listener.address, listener.port, is_udp))


def _overlap(address: str, port: int, other: str, other_port: int) -> bool:
    """Whether two listeners want the same connections; `::` is dual stack and covers IPv4."""
    if port != other_port:
        return False
    if address == other:
        return True
    if address.startswith("unix:") or other.startswith("unix:"):
        return False
    for wide, narrow in ((address, other), (other, address)):
        if wide == "::" or (wide == "0.0.0.0" and ":" not in narrow):
            return True
    return False


def _policies(draft: Draft) -> Iterator[Mistake]:
    for path, used in lists(draft):
        for number, policy in enumerate(used):
            if isinstance(policy, Model):
                yield from _room(draft, (*path, number), policy)
            elif policy not in draft.policies:
                yield (
                    (*path, number),
                    f"no policy set `{policy}`{did_you_mean(policy, draft.policies)}{_if_room(policy)}",
                )
    for name, members in draft.policies.items():
        for number, policy in enumerate(members or ()):
            if isinstance(policy, Disable):
                yield (
                    ("policies", name, number),
                    "a set takes nothing away; write it where the set is used",
                )
            elif isinstance(policy, Model):
                yield from _room(draft, ("policies", name, number), policy)
            else:
                yield (
                    ("policies", name, number),
                    "a set holds policies, not other sets; name both where they are used",
                )
    for name, backend in draft.backends.items():
        has_admin = draft.settings is None or draft.settings.admin is not None
        if backend is not None and backend.registration is not None and not has_admin:
            yield (
                ("backends", name, "registration"),
                "instances register on the admin listener; write `admin: {}` in `gateway`",
            )
        for key in ("balancing", "health_check"):
            room = getattr(backend, key, None)
            if isinstance(room, Model):
                yield from _room(draft, ("backends", name, key), room, "health_check")


def _zones(draft: Draft) -> Iterator[Mistake]:
    """A zone can be preferred by a gateway that knows its own."""
    if draft.settings is None or draft.settings.zone is not None:
        return
    for name, backend in draft.backends.items():
        if backend is not None and "zones" in backend.model_fields_set and backend.zones.prefer == "local":
            yield (
                ("backends", name, "zones"),
                "means nothing without `gateway.zone`; write where this gateway stands, "
                "such as `gateway: { zone: az-1 }`",
            )


def _cookies(draft: Draft) -> Iterator[Mistake]:
    """Two backends with one cookie would take turns to overwrite it."""
    first: dict[str, str] = {}
    for name, backend in draft.backends.items():
        if backend is None or backend.affinity is None or backend.affinity.by != "cookie":
            continue
        cookie = str(backend.affinity.name)
        other = first.setdefault(cookie, name)
        if other != name:
            yield (
                ("backends", name, "affinity"),
                f"the cookie `{cookie}` is that of backend `{other}` too; each would overwrite it; "
                f"write `name: {cookie}_{name}` or another of its own",
            )


def _if_room(name: str) -> str:
    from tidegate.config.rooms import tags

    return f"; for the policy write `{{ type: {name} }}`" if name in tags("policies") else ""


def _room(draft: Draft, path: Path, room: Model, kind: str = "policy") -> Iterator[Mistake]:
    """Names in a room's settings, by the type of the field and whatever the room."""
    for where, noun, name in references(room):
        if noun == "backend":
            yield from _backend(draft, (*path, *where), name)
        elif noun == "function":
            yield from _function(draft, (*path, *where), name, kind)
        elif name not in draft.listeners:
            yield (*path, *where), f"no listener `{name}`{did_you_mean(name, draft.listeners)}"


def _targets(draft: Draft) -> Iterator[Mistake]:
    yield from _parents(draft)
    for number, route in enumerate(draft.routes):
        if route is None:
            continue
        for position, name in enumerate(route.listeners):
            if name == ADMIN and name not in draft.listeners:
                yield (
                    ("routes", number, "listeners", position),
                    "the admin listener serves tidegate's own pages alone",
                )
            elif name not in draft.listeners:
                yield (
                    ("routes", number, "listeners", position),
                    f"no listener `{name}`{did_you_mean(name, draft.listeners)}",
                )
        if not isinstance(route, Route):
            for position, aim in enumerate(route.to):
                yield from _backend(draft, ("routes", number, "to", position, "backend"), aim.backend)
            continue
        if route.to.type == "forward":
            for position, target in enumerate(route.to.backends):
                yield from _backend(draft, ("routes", number, "to", position, "backend"), target.backend)
        if route.mirror is not None:
            yield from _backend(draft, ("routes", number, "mirror", "to"), route.mirror.to)


def _parents(draft: Draft) -> Iterator[Mistake]:
    """Backends that forward proxies ask in the place of servers."""
    for name, listener in draft.listeners.items():
        own = listener.forward if listener is not None else None
        for number, parent in enumerate(own.parents if own is not None else ()):
            path: Path = ("listeners", name, "forward", "parents", number, "backend")
            if parent.backend is None:
                continue
            yield from _backend(draft, path, parent.backend)
            backend = draft.backends.get(parent.backend)
            if backend is not None and backend.http2:
                yield path, "proxies are asked in HTTP/1.1; leave `http2` out of the backend"


def _backend(draft: Draft, path: Path, name: str) -> Iterator[Mistake]:
    if name.startswith("function:"):
        yield from _function(draft, (*path[:-1], "function"), name.removeprefix("function:"), "function")
    elif name not in draft.backends and not addresses.is_url(name):
        hint = (
            did_you_mean(name, draft.backends)
            or "; write it in section `backends`, or write a URL `http://host:port`"
        )
        yield path, f"no backend `{name}`{hint}"


def _function(draft: Draft, path: Path, name: str, kind: str) -> Iterator[Mistake]:
    """`kind` is what it must be there: `policy`, `health_check`, or `function` for what answers requests."""
    if name not in draft.functions:
        hint = did_you_mean(name, draft.functions) or "; write it in section `functions`"
        yield path, f"no function `{name}`{hint}"
        return
    function = draft.functions[name]
    if function is None or ("functions", name) in draft.mended:
        return
    found = function.kind if function.kind in ("policy", "health_check") else "function"
    if found == kind:
        return
    if kind != "function":
        noun = kind.replace("_", " ")
        yield path, f"`{name}` is a `{function.kind}`, no {noun}; write `kind: {kind}` if it is one"
    elif found == "health_check":
        yield (
            path,
            f"`{name}` is a health check, which answers no requests; "
            f"name it in a backend as `health_check: {{ type: python, function: {name} }}`",
        )
    else:
        yield (
            path,
            f"`{name}` is a policy, which answers nothing alone; "
            f"name it in `policies` as `{{ type: python, function: {name} }}`",
        )


def _functions(draft: Draft) -> Iterator[Mistake]:
    """Functions that share processes must want the same processes."""
    pools: dict[str, str] = {}
    for name, function in draft.functions.items():
        if COMMANDS in (name, function and function.pool):
            yield ("functions", name), f"`{COMMANDS}` is tidegate's own; choose another name"
        if function is None or ("functions", name) in draft.mended:
            continue
        pool = function.pool or name
        first = pools.setdefault(pool, name)
        other = draft.functions[first]
        if other is None or first == name:
            continue
        if (function.pool is None) != (other.pool is None):
            yield (
                ("functions", name),
                f"the pool `{pool}` has the name of a function outside it; choose another",
            )
            continue
        for key in ("venv", "workers", "memory"):
            if getattr(function, key) != getattr(other, key):
                yield (
                    ("functions", name, key),
                    f"shares the pool `{pool}` with `{first}` and needs the same `{key}`; "
                    "write it alike or change `pool`",
                )


def _route_names(draft: Draft) -> Iterator[Mistake]:
    first: dict[str, Route | TcpRoute] = {}
    has_admin = draft.settings is not None and draft.settings.admin is not None
    asked = (each for each in draft.routes if isinstance(each, Route) and each.question("") is not None)
    questions = {question_name(route_name(each)) for each in asked}
    for number, route in enumerate(draft.routes):
        # Without a part that is broken the name would be another one.
        if route is None or (route.name is None and ("routes", number) in draft.mended):
            continue
        name = route_name(route)
        if has_admin and name in (*ADMIN_ROUTES, REGISTRATION):
            yield ("routes", number, "name"), f"`{name}` is a route of `gateway.admin`; choose another name"
        if name in questions:
            yield (
                ("routes", number, "name"),
                f"`{name}` is what another route's `web.cors` adds; choose another",
            )
        other = first.setdefault(name, route)
        # Without names they take the same requests, which `reach.py` says in better words.
        is_said_elsewhere = isinstance(route, Route) and route.name is None and other.name is None
        if other is not route and not is_said_elsewhere:
            yield ("routes", number, "name"), f"another route is called `{name}` too; choose another name"
