# SPDX-License-Identifier: Apache-2.0
"""What only the whole shows of layer 4: routes and listeners of two kinds, backends that need requests."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.config.backend import Backend
from tidegate.config.draft import Draft, Mistake, Path
from tidegate.config.l4 import TcpRoute
from tidegate.config.route import Route


def connections(draft: Draft) -> Iterator[Mistake]:
    """Mistakes of routes with connections, and of listeners that have them."""
    served: set[str] = set()
    has_http = any(each is None or not each.is_l4 for each in draft.listeners.values())
    for number, route in enumerate(draft.routes):
        if route is None:
            served.update(draft.listeners)
            continue
        yield from _listeners(draft, number, route)
        if isinstance(route, Route) and not route.listeners and draft.listeners and not has_http:
            yield ("routes", number), "no listener takes its requests; write one with `protocol: http`"
        if isinstance(route, TcpRoute):
            served.update(route.listeners)
            yield from _backends(draft, number, route)
    for name, listener in draft.listeners.items():
        if listener is not None and listener.is_l4 and name not in served:
            yield (
                ("listeners", name),
                f"no route takes its connections; write `{{ type: {listener.protocol}, "
                f"listeners: {name}, to: ... }}` in section `routes`",
            )


def _listeners(draft: Draft, number: int, route: object) -> Iterator[Mistake]:
    for position, name in enumerate(getattr(route, "listeners", ())):
        listener = draft.listeners.get(name)
        if listener is None or ("listeners", name) in draft.mended:
            continue
        path: Path = ("routes", number, "listeners", position)
        if listener.is_l4 and not isinstance(route, TcpRoute):
            yield (
                path,
                f"`{name}` takes connections without requests (`protocol: {listener.protocol}`); "
                f"write `type: {listener.protocol}` on the route, or name a listener with `protocol: http`",
            )
        elif isinstance(route, TcpRoute) and listener.protocol != route.type:
            yield (
                path,
                f"`{name}` has `protocol: {listener.protocol}`, and this route is for `{route.type}`; "
                f"write `protocol: {route.type}` on the listener, or another `type`",
            )


def _backends(draft: Draft, number: int, route: TcpRoute) -> Iterator[Mistake]:
    for position, aim in enumerate(route.to):
        path: Path = ("routes", number, "to", position, "backend")
        if aim.backend.startswith("function:"):
            yield path, "a function answers requests, and this route has connections; write a backend's name"
            continue
        backend = draft.backends.get(aim.backend)
        if backend is None or ("backends", aim.backend) in draft.mended:
            continue
        if says := _needs_requests(backend):
            yield path, f"backend `{aim.backend}` {says}"


def _needs_requests(backend: Backend) -> str:
    """What of a backend can not be had of connections, and what to write."""
    if backend.affinity is not None and backend.affinity.by != "address":
        return (
            f"keeps sessions by `{backend.affinity.by}`, which connections without requests have not; "
            "write `affinity: address`"
        )
    if "hash" in backend.model_fields_set:
        for part in backend.hash:
            if part.kind != "client":
                says = f"hashes `{part.kind}`, which connections without requests have not"
                return says + "; write `hash: client`"

    return ""
