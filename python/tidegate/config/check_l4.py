# SPDX-License-Identifier: Apache-2.0
"""What only the whole shows of layer 4: routes and listeners of two kinds, backends that need requests."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.config.backend import Backend
from tidegate.config.draft import Draft, Mistake, Path
from tidegate.config.l4 import TcpRoute, UdpRoute
from tidegate.config.listener import Listener
from tidegate.config.route import Route


def connections(draft: Draft) -> Iterator[Mistake]:
    """Mistakes of routes with connections, and of listeners that have them."""
    served: set[str] = set()
    served_by = [each for each in draft.listeners.values() if each is None or each.protocol != "forward"]
    has_http = any(each is None or not each.is_l4 for each in served_by) or not draft.routes
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
        if listener is not None and listener.protocol == "mixed" and name not in served:
            yield (
                ("listeners", name),
                "only requests are taken on it; write `protocol: http`, with `tls` `https`, or a route with "
                f"`{{ type: tcp, listeners: {name}, to: ... }}` or `type: tls`",
            )
        elif listener is not None and listener.is_l4 and name not in served:
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
        if listener.protocol == "forward":
            yield path, f"`{name}` is a forward proxy, which takes no routes; name another listener"
            continue
        if not isinstance(route, TcpRoute):
            if listener.is_l4:
                yield path, _no_requests(name, listener)
        elif listener.protocol != route.type and (
            listener.protocol != "mixed" or isinstance(route, UdpRoute)
        ):
            yield (
                path,
                f"`{name}` has `protocol: {listener.protocol}`, and this route is for `{route.type}`; "
                f"write `protocol: {route.type}` on the listener, or another `type`",
            )
        elif route.match.begins and listener.protocol != "mixed":
            yield (
                (*path[:2], "match", "begins"),
                f"first bytes are looked at by listeners with `protocol: mixed`, and `{name}` is none; write "
                "that, or leave `begins` out",
            )
        elif route.type == "tcp" and (unknown := _unannounced(route, listener)):
            yield (
                (*path[:2], "match", "alpn"),
                f"`{name}` does not choose `{unknown}`; write `tls: {{ alpn: [{unknown}] }}` on the "
                "listener, or `type: tls` on the route and `protocol: tls` on the listener",
            )


def _unannounced(route: TcpRoute, listener: Listener) -> str:
    """A protocol that the route is for and the listener does not choose, if there is one."""
    chosen = listener.tls.alpn if listener.tls is not None else ()
    return next((each for each in route.match.alpn if each not in chosen), "")


def _no_requests(name: str, listener: Listener) -> str:
    return (
        f"`{name}` takes connections without requests (`protocol: {listener.protocol}`); "
        f"write `type: {listener.protocol}` on the route, or name a listener with `protocol: http`"
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
        if says := _needs_requests(backend) or (isinstance(route, UdpRoute) and _needs_connections(backend)):
            yield path, f"backend `{aim.backend}` {says}"


def _needs_connections(backend: Backend) -> str:
    """What of a backend can not be had of datagrams, and what to write."""
    for key in ("tls", "proxy_protocol"):
        if getattr(backend, key) is not None:
            return f"has `{key}`, which datagrams have not; leave it out, or write another backend"
    if any(each.address.startswith("unix:") for each in backend.endpoints):
        return "has an endpoint at a Unix socket, and datagrams go to `host:port`"
    if backend.processes:
        return "has `processes`, which answer requests; write `endpoints`"
    return ""


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
