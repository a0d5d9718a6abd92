# SPDX-License-Identifier: Apache-2.0
"""The engine's keys and tables against the models, and hashing over a node with four threads."""

import asyncio
import itertools
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate import Gateway, _engine
from tidegate.config.compile import compile_gateway
from tidegate.testing import gateway

from . import hashing
from .balancers import shares
from .traffic import Origins, ask_each, backend, holding

_KEYS = 100_000
_CONNECTIONS = 32

_weights = st.lists(st.sampled_from([0, 1, 1, 2, 3, 10]), min_size=1, max_size=6).filter(any)
_sources = {
    "client": lambda asked: [hashing.address(asked["client"])],
    "path": lambda asked: [b"/a"],
    "host": lambda asked: [b"h"],
    "header": lambda asked: [value.encode() for name, value in asked["headers"] if name == "X-User"],
    "cookie": lambda asked: [value.encode() for name, value in asked["pairs"] if name == "sid"],
    "query": lambda asked: [value.encode() for name, value in asked["query"] if name == "q"],
}
_names: dict[str, Any] = {"header": "x-user", "cookie": "sid", "query": "q"}
_values = st.sampled_from(["", "1", "12", "ann", "a b"])
_asked = st.fixed_dictionaries(
    {
        "client": st.sampled_from(["10.1.2.3", "10.1.2.4", "2001:db8::1", "2001:db8::2", "::ffff:10.1.2.3"]),
        "headers": st.lists(st.tuples(st.sampled_from(["X-User", "X-Other"]), _values), max_size=3),
        "pairs": st.lists(st.tuples(st.sampled_from(["sid", "other"]), _values), max_size=3),
        "query": st.lists(st.tuples(st.sampled_from(["q", "r"]), _values), max_size=3),
    }
)


def explained(configuration: dict[str, Any], questions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    snapshot = compile_gateway(Gateway.model_validate(configuration), threads=1)
    told: list[dict[str, Any]] = json.loads(_engine.decide(snapshot.delta_json(None), json.dumps(questions)))
    return told


def question(asked: dict[str, Any]) -> dict[str, Any]:
    cookies = [["Cookie", "; ".join(f"{name}={value}" for name, value in asked["pairs"])]]
    query = "&".join(f"{name}={value.replace(' ', '+')}" for name, value in asked["query"])
    headers = [["Host", "h"], *asked["headers"], *(cookies if asked["pairs"] else [])]
    return {"method": "GET", "url": f"/a?{query}", "headers": headers, "client": asked["client"]}


def names(count: int) -> list[str]:
    return [f"10.0.0.{number}:80" for number in range(count)]


@given(
    _weights,
    st.lists(st.sampled_from(sorted(_sources)), min_size=1, max_size=3),
    st.lists(_asked, min_size=5, max_size=9),
)
@settings(max_examples=100, deadline=None, print_blob=True)
def test_the_engine_makes_the_key_of_the_model_and_finds_its_endpoint(
    weights: list[int], sources: list[str], asked: list[dict[str, Any]]
) -> None:
    written = [{source: _names[source]} if source in _names else source for source in sources]
    slots = hashing.maglev(names(len(weights)), weights, 211)
    points = hashing.ring(names(len(weights)), weights, 20)
    idle = [0] * len(weights)
    for balancing in ({"type": "maglev", "table_size": 211}, {"type": "ring_hash", "points": 20}):
        configuration = backend(names(len(weights)), weights, balancing)
        configuration["backends"]["b"]["hash"] = written
        for one, told in zip(
            asked, explained(configuration, [question(each) for each in asked]), strict=True
        ):
            key = hashing.key([_sources[source](one) for source in sources])
            found = told["backends"][0]["hash"]["key"]
            assert found == (None if key is None else f"{key:016x}"), one
            if key is None:
                got = [each["share"] for each in told["endpoints"]]
                assert got == pytest.approx([float(share) for share in shares(weights) if share])
                continue
            if balancing["type"] == "maglev":
                wanted = hashing.in_table(slots, key, lambda position: weights[position] > 0)
            else:
                wanted = hashing.on_ring(points, key, idle, weights, 125)
            assert told["endpoint"] == names(len(weights))[wanted]
            assert [each["share"] for each in told["endpoints"]] == [1.0]


@given(
    st.lists(
        st.sampled_from(["10.1.2.3", "10.1.2.4", "10.1.3.4", "2001:db8::1", "2001:db8:0:1::"]), min_size=1
    ),
    st.integers(0, 32),
    st.integers(0, 128),
)
@settings(max_examples=20, deadline=None, print_blob=True)
def test_ip_hash_looks_at_as_much_of_an_address_as_it_is_told(
    clients: list[str], ipv4: int, ipv6: int
) -> None:
    balancing = {"type": "ip_hash", "ipv4_prefix": ipv4, "ipv6_prefix": ipv6}
    configuration = backend(names(3), [1, 1, 1], balancing)
    asked = [{"method": "GET", "url": "http://h/", "client": client} for client in clients]
    for client, told in zip(clients, explained(configuration, asked), strict=True):
        assert told["backends"][0]["hash"]["key"] == f"{hashing.client_key(client, ipv4, ipv6):016x}"
        assert told["endpoint"] is not None


def _hashed(addresses: list[str], weights: list[int], balancing: Any) -> Gateway:
    configuration = backend(addresses, weights, balancing)
    configuration["backends"]["b"]["hash"] = {"query": "k"}
    return Gateway.model_validate(configuration)


@pytest.mark.parametrize("weights", [[1, 1, 1, 1], [1, 2, 3, 4]])
@pytest.mark.parametrize("balancing", ["maglev", "ring_hash"])
def test_a_hundred_thousand_keys_are_spread_and_few_move_when_an_endpoint_goes(
    balancing: str, weights: list[int]
) -> None:
    """What `explain` tells of each key, which the next test holds against a node."""
    everyone = names(4)
    asked = [{"method": "GET", "url": f"http://h/?k={number}"} for number in range(_KEYS)]

    def homes(count: int) -> list[str]:
        snapshot = compile_gateway(_hashed(everyone[:count], weights[:count], balancing), threads=1)
        told = json.loads(_engine.decide(snapshot.delta_json(None), json.dumps(asked)))
        return [one["endpoint"] for one in told]

    before, after = homes(4), homes(3)
    counts = Counter(before)
    print(counts)
    for name, share in zip(everyone, shares(weights), strict=True):
        off = {"maglev": 0.05, "ring_hash": 0.25}[balancing]
        assert counts[name] == pytest.approx(float(_KEYS * share), rel=off), counts
    moved = sum(one != other for one, other in zip(before, after, strict=True)) / _KEYS
    assert moved <= float(shares(weights)[3]) + 0.05


@pytest.mark.parametrize("balancing", ["maglev", "ring_hash"])
def test_four_threads_choose_as_explained_and_within_the_bound(balancing: str) -> None:
    keys = 10_000

    async def run() -> tuple[list[int], list[int]]:
        async with Origins(4) as origins:
            free = {"type": balancing} | ({"load_bound_percent": None} if balancing == "ring_hash" else {})
            configured = _hashed(origins.addresses, [1] * 4, free)
            snapshot = compile_gateway(configured, threads=1)
            questions = [{"method": "GET", "url": f"http://h/?k={number}"} for number in range(keys)]
            told = json.loads(_engine.decide(snapshot.delta_json(None), json.dumps(questions)))
            wanted = [origins.addresses.index(one["endpoint"]) for one in told]
            async with gateway(configured, threads=4) as running:
                targets = [f"/?k={number}" for number in range(keys)]
                return wanted, await ask_each(running.port, targets, _CONNECTIONS)

    wanted, got = asyncio.run(run())
    assert got == wanted
    for count in Counter(got).values():
        assert count == pytest.approx(keys / 4, rel=0.25), Counter(got)


def test_a_popular_key_overruns_nobody() -> None:
    """40 requests of one key at a time over four endpoints: none has more than 1.25 times a quarter."""

    async def run() -> list[int]:
        async with (
            Origins(4) as origins,
            gateway(_hashed(origins.addresses, [1] * 4, "ring_hash"), threads=1) as running,
            holding(running.port, origins, 40, "/hold?k=1") as held,
        ):
            return list(held)

    counts = Counter(asyncio.run(run()))
    assert sum(counts.values()) == 40
    assert max(counts.values()) <= 13, counts
    # In order of arrival the model sends them alike: the first to the key's own endpoint.
    points = hashing.ring(["a:1", "b:1", "c:1", "d:1"], [1] * 4, 512)
    loads = [0] * 4
    for _ in range(40):
        loads[hashing.on_ring(points, hashing.stable(b"1"), loads, [1] * 4, 125)] += 1
    assert sorted(loads) == sorted(counts.get(position, 0) for position in range(4))


def test_neighbours_on_a_ring_are_met_in_its_order() -> None:
    points = hashing.ring(names(4), [1] * 4, 8)
    assert len(points) == 32 and all(one < other for one, other in itertools.pairwise(points))
