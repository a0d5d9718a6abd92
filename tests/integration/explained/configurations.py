# SPDX-License-Identifier: Apache-2.0
"""Random gateways that are valid, with routes of every kind that one request can meet."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from tidegate import Gateway
from tidegate.config.problem import ConfigError

HOSTS = ["shop.test", "api.shop.test", "a.b.shop.test", "other.test"]
PATTERNS = ["*.shop.test", "*.b.shop.test", *HOSTS]
SEGMENTS = ["users", "orders", "v1", "v2", "a", "b", "ü".encode().hex()]
# Templates that take the same paths, so that what outranks what is asked often.
_RIVALS = ["/{x}", "/{x}/{y}", "/{x}/orders", "/users/{x}", "/{x}/{y}/v1", "/users/{x}/{y}", "/{rest*}"]
_DRAWN = ["round_robin", "least_request", "random", "least_connections", "peak_ewma", "ip_hash"]
_HASHED = ["maglev", "ring_hash"]
_PARTS: list[Any] = ["client", "path", "host", {"header": "X-Tier"}, {"cookie": "c"}, {"query": "q"}]
METHODS = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"]


def random_path(draw: random.Random, deepest: int = 3) -> str:
    return "/" + "/".join(draw.choice(SEGMENTS) for _ in range(draw.randint(0, deepest)))


def _path(draw: random.Random) -> Any:
    kind = draw.randrange(6)
    if kind <= 1:
        return random_path(draw)
    if kind == 2:
        return {"exact": random_path(draw)}
    if kind == 3:
        return {"regex": draw.choice([r"/[a-z]+/v\d", r"/users(/.*)?", r"/(a|b)/.*", r".*orders"])}
    if kind == 4:
        return draw.choice(_RIVALS)
    segments = [draw.choice(["{id}", *SEGMENTS]) for _ in range(draw.randint(1, 3))]
    names = iter("xyz")
    written = [f"{{{next(names)}}}" if segment == "{id}" else segment for segment in segments]
    return "/" + "/".join(written) + ("/{rest*}" if draw.random() < 0.2 else "")


def _match(draw: random.Random) -> dict[str, Any]:
    match: dict[str, Any] = {"path": _path(draw)}
    if draw.random() < 0.3:
        match["methods"] = draw.sample(METHODS, draw.randint(1, 3))
    if draw.random() < 0.2:
        match["headers"] = {"X-Tier": draw.choice(["gold", {"regex": "go.*"}, {"present": True}])}
    if draw.random() < 0.2:
        match["query"] = {"q": draw.choice(["1", {"regex": r"\d+"}, {"present": True}])}
    if draw.random() < 0.1:
        match["cookies"] = {"c": draw.choice(["1", {"present": True}])}
    if draw.random() < 0.25:
        match["clients"] = [draw.choice(["127.0.0.0/8", "192.0.2.0/24", "203.0.113.0/24"])]
    if draw.random() < 0.15:
        match["local_addresses"] = [draw.choice(["127.0.0.0/8", "127.0.0.2", "::1"])]
    return match


def _target(draw: random.Random, backends: Sequence[str]) -> dict[str, Any]:
    kind = draw.randrange(10)
    if kind == 0:
        return {"to": {"respond": {"status": draw.choice([200, 404, 503]), "body": "fixed"}}}
    if kind == 1:
        redirect = draw.choice([{"scheme": "https"}, {"path": "/moved"}, {"host": "new.test", "port": 8443}])
        return {"to": {"redirect": redirect}}
    if kind <= 4 and len(backends) > 1:
        chosen = draw.sample(list(backends), 2)
        return {"to": [{"backend": name, "weight": draw.randint(1, 3)} for name in chosen]}
    return {"to": draw.choice(list(backends))}


def _policies(draw: random.Random) -> list[dict[str, Any]]:
    change = {"set": {"X-Set": draw.choice("abc")}, "append": {"X-More": "m"}, "remove": ["X-Tier"]}
    some = {key: change[key] for key in draw.sample(sorted(change), draw.randint(1, 3))}
    return [{"type": "request_headers", **some}] if draw.random() < 0.4 else []


def _rewrite(draw: random.Random, path: Any) -> dict[str, Any]:
    if draw.random() < 0.6:
        return {}
    rewrite: dict[str, Any] = {}
    if isinstance(path, str) and "{" not in path:
        rewrite["prefix"] = draw.choice(["/", "/inner", "/inner/deep"])
    elif isinstance(path, str) and "{x}" in path:
        rewrite["path"] = draw.choice(["/by/{x}", "/fixed"])
    if draw.random() < 0.4:
        rewrite["host"] = "inner.test"
    return {"rewrite": rewrite} if rewrite else {}


def _route(draw: random.Random, number: int, backends: Sequence[str]) -> dict[str, Any]:
    route: dict[str, Any] = {"name": f"r{number}", "match": _match(draw), **_target(draw, backends)}
    if draw.random() < 0.4:
        route["hosts"] = draw.sample(PATTERNS, draw.randint(1, 2))
    if policies := _policies(draw):
        route["policies"] = policies
    if not isinstance(route["to"], dict):
        route |= _rewrite(draw, route["match"]["path"])
    return route


def _endpoint(draw: random.Random, address: str) -> dict[str, Any]:
    place = {"zone": draw.choice("ab")} if draw.random() < 0.5 else {}
    return {"address": address, "weight": draw.randint(1, 3), "priority": draw.choice([0, 0, 0, 1]), **place}


def _balancing(draw: random.Random) -> dict[str, Any]:
    kind = draw.choice([*_DRAWN, *_HASHED])
    if kind in _DRAWN:
        return {"balancing": kind}
    # With a bound, a request whose predecessor is just being counted out goes on to the next endpoint.
    bound = {"load_bound_percent": None} if kind == "ring_hash" else {}
    parts = {"hash": draw.sample(_PARTS, draw.randint(1, 2))} if draw.random() < 0.8 else {}
    return {"balancing": {"type": kind, **bound}, **parts}


def _backend(draw: random.Random, addresses: Sequence[str]) -> dict[str, Any]:
    chosen = draw.sample(list(addresses), draw.randint(1, min(3, len(addresses))))
    return {
        "endpoints": [_endpoint(draw, address) for address in chosen],
        **_balancing(draw),
        "host": draw.choice(["keep", "keep", "endpoint"]),
        "affinity": draw.choice([None, None, "address", {"by": "header", "name": "X-Tier"}]),
    }


def random_gateway(draw: random.Random, addresses: Sequence[str]) -> Gateway:
    """A valid gateway; routes that its own checks call unreachable or doubled are left out."""
    backends = {f"b{number}": _backend(draw, addresses) for number in range(draw.randint(1, 3))}
    routes = [_route(draw, number, list(backends)) for number in range(draw.randint(3, 25))]
    listeners = {"web": {"address": "::", "port": 1, "merge_slashes": draw.random() < 0.7}}
    settings: dict[str, Any] = {"trusted_proxies": ["127.0.0.0/8"]} if draw.random() < 0.5 else {}
    if draw.random() < 0.5:
        settings["zone"] = "a"
    while True:
        try:
            return Gateway.model_validate(
                {"gateway": settings, "listeners": listeners, "backends": backends, "routes": routes}
            )
        except (ConfigError, ValueError) as error:
            bad = bad_routes(error)
            if not bad:
                raise
            routes = [route for index, route in enumerate(routes) if index not in bad]


def bad_routes(error: Exception) -> set[int]:
    """Indexes of the routes that an error names."""
    problems = getattr(error, "problems", None)
    if problems is not None:
        paths = [str(problem.path) for problem in problems]
        named = [path.split(".")[1] for path in paths if path.startswith("routes.")]
        return {int(text) for text in named if text.isdigit()}
    errors: list[Any] = getattr(error, "errors", list)()
    return {found["loc"][1] for found in errors if found["loc"][:1] == ("routes",)}
