# SPDX-License-Identifier: Apache-2.0
"""Routes that no request can reach, because others take every request they would.

Right rather than complete: what is reported is certain, by the precedence of `crates/routing`; overlaps
between regular expressions or between host levels are not looked into. One pass with look-ups by host and
path, so 10,000 routes cost milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from tidegate.config.draft import Draft, Mistake
from tidegate.config.match import FieldMatch, Match
from tidegate.config.naming import route_name
from tidegate.config.route import Route
from tidegate.config.secret import Secret

Place = tuple[str, str]
"""A listener and a host; the empty host is every host."""
_NO_CONDITIONS: frozenset[tuple[str, str, str, str | Secret]] = frozenset()
_PARAMETER = re.compile(r"(?<=\{)[A-Za-z0-9_]+")
_LITERAL_HEAD = re.compile(r"\^?((?:[A-Za-z0-9_/~%@:=,;!&-]|\\[.\-/])*)(.?)", re.DOTALL)


@dataclass(slots=True)
class _Taker:
    """A route as far as others are judged by it."""

    number: int
    methods: frozenset[str]
    conditions: frozenset[tuple[str, str, str, str | Secret]]
    clients: frozenset[str]
    local_addresses: frozenset[str]

    def covers(self, other: _Taker) -> bool:
        """Whether every request that fits `other`'s conditions fits these; paths apart."""
        return (
            (not self.methods or (bool(other.methods) and self.methods >= other.methods))
            and self.conditions <= other.conditions
            and _holds(self.clients, other.clients)
            and _holds(self.local_addresses, other.local_addresses)
        )

    @property
    def alike(self) -> object:
        """What is equal in takers that differ by their methods alone."""
        return self.conditions, self.clients, self.local_addresses


def _holds(networks: frozenset[str], others: frozenset[str]) -> bool:
    return not networks or (bool(others) and networks >= others)


@dataclass(slots=True)
class _Index:
    """What stands at one listener and host."""

    alike: dict[tuple[str, object], list[_Taker]] = field(default_factory=dict)
    """Routes with the same path and, methods apart, the same conditions."""
    rests: dict[str, list[_Taker]] = field(default_factory=dict)
    """Templates of literals and a final `{rest*}`, by their literals."""
    prefixes: dict[str, list[_Taker]] = field(default_factory=dict)


def unreachable(draft: Draft) -> Iterator[Mistake]:
    """Every route that is certainly never reached."""
    everywhere = tuple(
        name
        for name, each in draft.listeners.items()
        if each is None or (each.redirect is None and not each.is_l4)
    )
    known: dict[Place, _Index] = {}
    judged: list[tuple[Route, _Taker, list[_Index], str]] = []
    for number, route in enumerate(draft.routes):
        if not isinstance(route, Route) or ("routes", number) in draft.mended:
            continue
        if (dialled := _never_dialled(draft, route)) is not None:
            yield ("routes", number), dialled
            continue
        shape = _shape(route.match)
        taker = _taker(number, route.match)
        places = [
            (listener, host) for listener in route.listeners or everywhere for host in route.hosts or ("",)
        ]
        indexes = []
        for place in places:
            index = known.get(place)
            if index is None:
                index = known[place] = _Index()
            indexes.append(index)
            _add(index, route.match, shape, taker)
        judged.append((route, taker, indexes, shape))
    for route, taker, indexes, shape in judged:
        if not indexes:
            if draft.listeners:
                name = next(iter(draft.listeners))
                yield (
                    ("routes", taker.number),
                    "is never reached: every listener redirects; "
                    f"write `listeners: [{name}]` if it is for that one",
                )
            continue
        found = [_taken_by(index, route.match, shape, taker) for index in indexes]
        if all(number is not None for number in found):
            winner = draft.routes[found[0]] if found[0] is not None else None
            if isinstance(winner, Route):
                yield ("routes", taker.number), _says(route, winner, found[0] or 0)


def _never_dialled(draft: Draft, route: Route) -> str | None:
    """What is wrong with the route's local addresses, if no connection to its listeners has one of them."""
    if not route.match.local_addresses:
        return None
    networks = [ip_network(network) for network in route.match.local_addresses]
    at: list[str] = []
    others = (name for name, each in draft.listeners.items() if each is None or not each.is_l4)
    for name in route.listeners or others:
        listener = draft.listeners.get(name)
        if listener is None or listener.address == "::":
            # What is wrong with the listener is said there.
            return None
        at.append(listener.address)
        if listener.address.startswith("unix:"):
            continue
        own = ip_address(listener.address)
        if any(
            own in network or (own.is_unspecified and network.version == own.version) for network in networks
        ):
            return None
    if not at:
        return None
    written = ", ".join(dict.fromkeys(at))
    return (
        f"is never reached: its `local_addresses` hold no address of its listeners ({written}); "
        "write one of these, or let a listener have the address `::`, which is every one"
    )


def _says(route: Route, winner: Route, number: int) -> str:
    name = f"`{route_name(winner)}` (routes[{number}])"
    if route_name(route) == route_name(winner) or _shape(route.match) == _shape(winner.match):
        return f"is never reached: {name} takes the same requests before it; remove one or make them differ"
    return f"is never reached: {name} takes its requests first; make that one narrower, or this path exact"


def _shape(match: Match) -> str:
    """Equal for paths that take the same requests: templates differ by the names of parameters alone."""
    path = match.path
    if path.kind == "template":
        return "template " + _PARAMETER.sub("", path.value)
    return f"{path.kind} {path.value}"


def _conditions(kind: str, fields: list[FieldMatch]) -> Iterator[tuple[str, str, str, str | Secret]]:
    return ((kind, condition.name, condition.kind, condition.value) for condition in fields)


def _taker(number: int, match: Match) -> _Taker:
    conditions = _NO_CONDITIONS
    if match.headers or match.query or match.cookies:
        conditions = frozenset(
            (
                *_conditions("header", match.headers),
                *_conditions("query", match.query),
                *_conditions("cookie", match.cookies),
            )
        )
    return _Taker(
        number,
        frozenset(match.methods),
        conditions,
        frozenset(match.clients),
        frozenset(match.local_addresses),
    )


def _add(index: _Index, match: Match, shape: str, taker: _Taker) -> None:
    index.alike.setdefault((shape, taker.alike), []).append(taker)
    if match.path.kind == "prefix":
        index.prefixes.setdefault(match.path.value.rstrip("/"), []).append(taker)
    elif match.path.kind == "template":
        head, brace, _ = match.path.value.partition("/{")
        if brace and match.path.value.endswith("*}") and match.path.value.count("{") == 1:
            index.rests.setdefault(head, []).append(taker)


def _taken_by(index: _Index, match: Match, shape: str, taker: _Taker) -> int | None:
    """The number of a route that takes every request at this place before `taker` could."""
    missing = taker.methods
    for other in index.alike[(shape, taker.alike)]:
        if other.number >= taker.number:
            break
        # A route with methods is more precise than one without, wherever it stands.
        if bool(other.methods) is bool(taker.methods):
            missing -= other.methods
            if not missing:
                return other.number
    if match.path.kind == "prefix":
        # `/x/{rest*}` is a template and goes before every prefix under `/x/`.
        return _above(index.rests, match.path.value, taker)
    if match.path.kind == "regex":
        head = _literal_head(match.path.value)
        return _above(index.prefixes, head, taker)
    return None


def _above(table: dict[str, list[_Taker]], path: str, taker: _Taker) -> int | None:
    """A covering route in `table` at one of the folders above `path`."""
    parts = path.split("/")
    for length in range(1, len(parts)):
        for other in table.get("/".join(parts[:length]), ()):
            if other.covers(taker):
                return other.number
    return None


def _literal_head(expression: str) -> str:
    """What every path the expression takes begins with; what follows the last `/` of it may go on."""
    if "|" in expression or "(?" in expression:
        return "/"
    found = _LITERAL_HEAD.match(expression)
    if found is None or not found[1].startswith("/"):
        return "/"
    literal = re.sub(r"\\(.)", r"\1", found[1])
    # A quantifier belongs to the character before it.
    return literal[:-1] if found[2] in "*?{" and found[2] else literal
