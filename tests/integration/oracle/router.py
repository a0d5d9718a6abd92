# SPDX-License-Identifier: Apache-2.0
"""The router as its rules read: judge every route alone, take the best of those that fit.

Precedence: host (exact, the longer wildcard, any), then exact path, template with more literals, longest
prefix, regular expression; then method, header count, query count, cookie count, client address, and the
order in the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from urllib.parse import unquote_to_bytes

from tidegate import Route
from tidegate.config.match import FieldMatch, PathMatch

Pairs = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Asked:
    """A request in canonical form."""

    listener: str
    method: str
    host: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    client: str


def find(routes: Sequence[Route], asked: Asked) -> tuple[int, dict[str, str]] | None:
    """The index of the route that takes the request, and the parameters of its template."""
    fitting = [index for index, route in enumerate(routes) if _fits(route, asked)]
    if not fitting:
        return None
    best = max(fitting, key=lambda index: (_precedence(routes[index], asked), -index))
    found = re.fullmatch(_expression(routes[best].match.path), asked.path.encode(), re.DOTALL)
    assert found is not None
    is_template = routes[best].match.path.kind == "template"
    return best, {name: value.decode() for name, value in found.groupdict().items() if is_template}


def _fits(route: Route, asked: Asked) -> bool:
    match = route.match
    headers = [(name.lower().encode(), value.strip(" \t").encode()) for name, value in asked.headers]
    cookies = [_cookie(pair) for name, value in headers if name == b"cookie" for pair in value.split(b";")]
    query = [pair.partition("=") for pair in asked.query.split("&")]
    return (
        (not route.listeners or asked.listener in route.listeners)
        and _host(route.hosts, asked.host) is not None
        and re.fullmatch(_expression(match.path), asked.path.encode(), re.DOTALL) is not None
        and (not match.methods or asked.method in match.methods)
        and all(_field(field, headers) for field in match.headers)
        and all(_field(field, [(_form(n), _form(v)) for n, _, v in query]) for field in match.query)
        and all(_field(field, cookies) for field in match.cookies)
        and (not match.clients or any(_is_in(asked.client, network) for network in match.clients))
    )


def _precedence(route: Route, asked: Asked) -> tuple[object, ...]:
    match, value = route.match, route.match.path.value
    literals = sum(not segment.startswith("{") for segment in value.split("/")[1:])
    path = {"exact": (3, 0), "template": (2, literals), "prefix": (1, len(value)), "regex": (0, 0)}
    counts = (len(match.headers), len(match.query), len(match.cookies))
    host = _host(route.hosts, asked.host)
    return host, path[match.path.kind], bool(match.methods), counts, bool(match.clients)


def _host(patterns: Sequence[str], host: str) -> int | None:
    """How precisely a host is named; `None` when it is not."""
    exact = [1000 for pattern in patterns if pattern == host]
    wild = [len(pattern) for pattern in patterns if pattern[0] == "*" and host.endswith(pattern[1:])]
    return max(exact + wild, default=None if patterns else 0)


def _expression(path: PathMatch) -> bytes:
    """A path match as an expression for the whole path."""
    if path.kind == "regex":
        return path.value.encode()
    if path.kind == "template":
        return re.sub(r"\\{(\w+?)(\\\*)?\\}", _parameter, re.escape(path.value)).encode()
    return re.escape(path.value.rstrip("/") if path.kind == "prefix" else path.value).encode() + (
        b"(/.*)?" if path.kind == "prefix" else b""
    )


def _parameter(found: re.Match[str]) -> str:
    return f"(?P<{found[1]}>.*)" if found[2] else f"(?P<{found[1]}>[^/]+)"


def _field(field: FieldMatch, pairs: Pairs) -> bool:
    """`present` takes any number of values; a comparison wants exactly one, so that nobody reads another."""
    values = [value for name, value in pairs if name == field.name.encode()]
    if field.kind == "present" or len(values) != 1:
        return field.kind == "present" and bool(values)
    wanted = (field.value if isinstance(field.value, str) else field.value.reveal()).encode()
    return values[0] == wanted if field.kind == "exact" else re.fullmatch(wanted, values[0]) is not None


def _form(text: str) -> bytes:
    """`+` is a space, `%xx` a byte; a broken escape stands for itself."""
    return unquote_to_bytes(text.replace("+", " "))


def _cookie(pair: bytes) -> tuple[bytes, bytes]:
    name, equals, value = pair.partition(b"=")
    return (name.strip(b" \t"), value.strip(b" \t")) if equals else (b"", pair.strip(b" \t"))


def _is_in(client: str, network: str) -> bool:
    """An IPv4 client on an IPv6 socket is an IPv4 client."""
    address = ip_address(client)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address) in ip_network(network)
