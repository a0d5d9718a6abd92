# SPDX-License-Identifier: Apache-2.0
"""Names of routes that have none: from listeners, hosts and match."""

from __future__ import annotations

from hashlib import blake2b

from tidegate.config.grpc import GrpcMatch, GrpcRoute
from tidegate.config.l4 import L4Match, TcpRoute
from tidegate.config.match import FieldMatch, Match
from tidegate.config.names import LONGEST_ROUTE_NAME
from tidegate.config.route import Route


def route_name(route: Route | TcpRoute) -> str:
    """The route's name, or one that says what it takes: `api.example.com/pay POST`.

    Two routes get the same name only if they take the same requests.
    """
    if route.name is not None:
        return route.name
    listeners = ",".join(route.listeners)
    if isinstance(route, Route):
        what = ",".join(route.hosts) + match_text(route.match)
        if isinstance(route, GrpcRoute):
            what = " ".join(["grpc", *route.hosts, *_call(route.match)])
    else:
        hosts = getattr(route, "hosts", ())
        parts = [route.type, *hosts, *(f"alpn:{each}" for each in route.match.alpn)]
        parts += [f"begins:{each}" for each in route.match.begins]
        parts += ["quic"] if route.match.quic else []
        what = " ".join([*parts, *_addresses(route.match)])
    text = f"{listeners + '|' if listeners else ''}{what}".strip()
    return _short(text)


def question_name(name: str) -> str:
    """What the route is called by which browsers ask for one of that name."""
    return _short(f"{name} preflight")


def _short(text: str) -> str:
    if not text.isprintable():
        text = "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in text)
    if len(text) <= LONGEST_ROUTE_NAME:
        return text
    # Still different for different matches.
    mark = blake2b(text.encode(), digest_size=6).hexdigest()
    return f"{text[: LONGEST_ROUTE_NAME - 13].rstrip()} {mark}"


def _call(match: GrpcMatch) -> list[str]:
    # The first says that it is a call.
    return [match.call, *(_condition(field) for field in match.headers[1:]), *_addresses(match)]


def match_text(match: Match) -> str:
    """A match in one line."""
    path = match.path
    text = {
        "prefix": path.value,
        "template": path.value,
        "exact": f"={path.value}",
        "regex": f"~{path.value}",
    }[path.kind]
    parts = [text]
    if match.methods:
        parts.append(",".join(match.methods))
    parts += [f"{_condition(field)}" for field in match.headers]
    parts += [f"?{_condition(field)}" for field in match.query]
    parts += [f"cookie:{_condition(field)}" for field in match.cookies]
    return " ".join([*parts, *_addresses(match)])


def _addresses(match: Match | L4Match) -> list[str]:
    parts = []
    if match.clients:
        parts.append("from:" + ",".join(match.clients))
    if match.local_addresses:
        parts.append("at:" + ",".join(match.local_addresses))
    return parts


def _condition(field: FieldMatch) -> str:
    sign = {"exact": "=", "regex": "~", "present": ""}[field.kind]
    # A secret is named by where it comes from.
    return f"{field.name}{sign}{field.value!s}"
