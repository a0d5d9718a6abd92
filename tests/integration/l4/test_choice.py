# SPDX-License-Identifier: Apache-2.0
"""Which route, backend and endpoint a connection gets, and which connections get none."""

from __future__ import annotations

from collections import Counter

import pytest

from tidegate import ConfigError
from tidegate.config.load import loads
from tidegate.testing import decide, gateway, wait_until

from .kit import TIMEOUT, Server, between, client, entry, greeting, named, wait_for

GONE = "127.0.0.1:1"


def test_round_robin_takes_turns_and_ip_hash_goes_by_the_client() -> None:
    with Server(named(b"1")) as one, Server(named(b"2")) as two:
        with between(one, two, backend="balancing: round_robin") as running:
            assert Counter(greeting(running) for _ in range(10)) == {b"1": 5, b"2": 5}
        for backend in ("balancing: ip_hash", "balancing: maglev, hash: client", "affinity: address"):
            with between(one, two, backend=backend) as running:
                by_source = {}
                for number in range(1, 17):
                    source = f"127.0.{number}.1"
                    by_source[source] = greeting(running, source=source)
                    assert {greeting(running, source=source) for _ in range(3)} == {by_source[source]}
                assert set(by_source.values()) == {b"1", b"2"}


def test_least_request_goes_by_the_connections_that_are_open() -> None:
    with (
        Server(named(b"1")) as one,
        Server(named(b"2")) as two,
        between(one, two, backend="balancing: least_request") as running,
    ):
        held = [client(running) for _ in range(10)]
        assert Counter(connection.recv(1) for connection in held) == {b"1": 5, b"2": 5}
        for connection in held:
            connection.close()


def test_backends_share_connections_by_weight() -> None:
    with Server(named(b"1")) as one, Server(named(b"2")) as two:
        text = f"""
listeners: {{ db: {{ port: 0, protocol: tcp }} }}
routes:
  - type: tcp
    listeners: db
    to: [{{ backend: "tcp://{one.address}", weight: 3 }}, {{ backend: "tcp://{two.address}", weight: 1 }}]
"""
        with gateway(text, threads=1) as running:
            counts = Counter(greeting(running) for _ in range(200))
            assert counts[b"1"] > counts[b"2"] > 10


def test_the_more_precise_route_takes_the_connection_and_then_the_first() -> None:
    servers = [Server(named(name)) for name in (b"any", b"client", b"local", b"late", b"other")]
    anyone, by_client, by_local, late, other = servers
    text = f"""
listeners:
  db: {{ port: 0, protocol: tcp }}
  db2: {{ port: 0, protocol: tcp }}
routes:
  - {{ type: tcp, listeners: db, to: "tcp://{anyone.address}" }}
  - {{ type: tcp, listeners: db, match: {{ clients: 127.0.2.0/24 }}, to: "tcp://{by_client.address}" }}
  - {{ name: late, type: tcp, listeners: db, match: {{ clients: 127.0.2.2 }}, to: "tcp://{late.address}" }}
  - {{ type: tcp, listeners: db, match: {{ local_addresses: 127.0.0.1 }}, to: "tcp://{by_local.address}" }}
  - {{ type: tcp, listeners: db2, match: {{ clients: [127.0.0.1] }}, to: "tcp://{other.address}" }}
"""
    try:
        with gateway(text, threads=1) as running:
            assert greeting(running) == b"local"
            assert greeting(running, source="127.0.2.2") == b"client"
            assert greeting(running, listener="db2") == b"other"
            assert greeting(running, source="127.0.0.2", listener="db2") == b""
            [told] = [each for each in running.log(4) if each["ended"] == "refused"]
            assert told["error"] == "destination_not_found" and told["listener"] == "db2"
    finally:
        for server in servers:
            server.close()


def test_an_endpoint_that_refuses_costs_the_client_nothing() -> None:
    with Server(named(b"up")) as up, between(GONE, up, backend="balancing: round_robin") as running:
        assert [greeting(running) for _ in range(6)] == [b"up"] * 6
        assert {each["endpoint"] for each in running.log(6)} == {up.address}
        assert sum(each["retries"] for each in running.log(6)) >= 1
    with between(GONE) as running:
        assert greeting(running) == b""
        told = entry(running)
        assert (told["ended"], told["error"]) == ("refused", "connection_refused")


def test_the_limit_of_an_endpoint_makes_connections_wait_and_then_refuses_them() -> None:
    with Server(named(b"up")) as up:
        limits = "limits: { connections: 1 }, timeouts: { pending: 20s }"
        with between(up, backend=limits) as running, client(running) as first, client(running) as second:
            assert first.recv(2) == b"up"
            wait_for(lambda: running.status()["backends"][0]["pending"] == 1)
            first.close()
            assert second.recv(2) == b"up"
        with (
            between(up, backend="limits: { connections: 1 }, timeouts: { pending: 100ms }") as running,
            client(running) as first,
        ):
            assert first.recv(2) == b"up"
            assert greeting(running) == b""
            assert entry(running)["error"] == "pending_timeout"


def test_listeners_refuse_by_address_number_and_rate() -> None:
    with Server(named(b"up")) as up:
        with between(up, listener="clients: { deny: [127.0.2.0/24] }") as running:
            assert greeting(running) == b"up" and greeting(running, source="127.0.2.7") == b""
        with between(up, listener="clients: { allow: [127.0.2.0/24] }") as running:
            assert greeting(running) == b"" and greeting(running, source="127.0.2.7") == b"up"
        with (
            between(up, listener="limits: { connections: 2 }") as running,
            client(running) as one,
            client(running) as two,
        ):
            assert one.recv(2) == two.recv(2) == b"up"
            assert greeting(running) == b""
        with (
            between(up, listener="limits: { connections_per_address: 1 }") as running,
            client(running) as one,
        ):
            assert one.recv(2) == b"up"
            assert greeting(running) == b"" and greeting(running, source="127.0.2.7") == b"up"
        with between(up, listener="limits: { connection_rate: 1, connection_burst: 2 }") as running:
            assert [greeting(running) for _ in range(4)][:2] == [b"up", b"up"]
            assert wait_until(lambda: running.status()["connections_refused"] >= 1, TIMEOUT)


def test_zones_health_and_passive_exclusion_are_those_of_requests() -> None:
    often = "interval: 50ms, timeout: 500ms, healthy_after: 1, unhealthy_after: 1"
    with Server(named(b"own")) as own, Server(named(b"far")) as far:
        text = f"""
gateway: {{ zone: a }}
listeners: {{ db: {{ port: 0, protocol: tcp }} }}
backends:
  b:
    endpoints: [{{ address: "{own.address}", zone: a }}, {{ address: "{far.address}", zone: b }}]
    health_check: {{ type: tcp, {often} }}
routes: [{{ type: tcp, listeners: db, to: b, timeouts: {{ idle: 10m, life: 1h }} }}]
"""
        with gateway(text, threads=1) as running:
            wait_for(lambda: all(e["health"] == "up" for e in running.status()["backends"][0]["endpoints"]))
            assert {greeting(running) for _ in range(8)} == {b"own"}
            own.close()
            wait_for(lambda: running.status()["backends"][0]["endpoints"][0]["health"] == "down")
            assert {greeting(running) for _ in range(8)} == {b"far"}
    with (
        Server(named(b"up")) as up,
        between(GONE, up, backend="balancing: round_robin, passive_health: { failures: 2 }") as running,
    ):
        for _ in range(6):
            assert greeting(running) == b"up"
        assert running.status()["backends"][0]["endpoints"][0]["exclusions"] == 1


def test_metrics_top_and_status_tell_of_connections() -> None:
    with (
        Server() as server,
        between(server, settings="admin: { port: 0 }") as running,
        client(running) as connection,
    ):
        connection.sendall(b"12345")
        assert connection.recv(5) == b"12345"
        [row] = running.call("top", window_ms=1000)["l4_routes"]
        assert row["name"] == "r" and (row["connections"], row["open"], row["failed"]) == (1, 1, 0)
        assert (row["bytes_in"], row["bytes_out"]) == (5, 5)
        [listener] = [each for each in running.status()["listeners"] if each["name"] == "db"]
        assert listener["protocol"] == "tcp" and listener["connections"] == 1
        endpoint = running.status()["backends"][0]["endpoints"][0]
        assert endpoint["in_flight"] == endpoint["connections"] == 1


def test_explain_tells_of_connections_what_would_happen() -> None:
    text = """
listeners: { db: { port: 5432, protocol: tcp, clients: { deny: [10.9.0.0/16] } } }
backends: { b: { endpoints: ["10.0.0.1:5432", "10.0.0.2:5432"], affinity: address } }
routes: [{ name: pg, type: tcp, listeners: db, match: { clients: 10.0.0.0/8 }, to: b }]
"""
    request = {"method": "", "url": "tcp://localhost:5432", "listener": "db"}
    told = decide(text, {**request, "client": "10.1.2.3"})
    assert (told["outcome"], told["route"], told["backend"]) == ("forward", "pg", "b")
    assert told["endpoint"] in ("10.0.0.1:5432", "10.0.0.2:5432")
    assert decide(text, {**request, "client": "192.0.2.1"})["outcome"] == "not_found"
    assert decide(text, {**request, "client": "10.9.2.3"})["outcome"] == "reject"


@pytest.mark.parametrize(
    ("listener", "route", "backend", "says"),
    [
        ("port: 1, protocol: tcp", "path: /, listeners: l, to: b", "", "write `type: tcp` on the route"),
        ("port: 1", "type: tcp, listeners: l, to: b", "", "write `protocol: tcp` on the listener"),
        ("port: 1, protocol: tcp", "type: tcp, listeners: l, hosts: a, to: b", "", "names no host"),
        ("port: 1, protocol: tcp", "type: tcp, listeners: l, path: /, to: b", "", "that is HTTP"),
        ("port: 1, protocol: tcp", "type: tcp, to: b", "", "is missing"),
        ("port: 1, protocol: tcp", "type: tcp, listeners: l, to: 'http://a:1'", "", "write `tcp://host:port`"),
        ("port: 1, protocol: tcp", "type: tcp, listeners: l, to: { respond: 200 }", "", "goes to a backend"),
        ("port: 1, protocol: tcp", "path: /, to: b", "", "no listener takes its requests"),
        ("port: 1, protocol: tcp", "path: /, to: 'tcp://a:1'", "", "is for routes with `type: tcp`"),
        ("port: 1, protocol: tcp, timeouts: { idle: 1s }", "type: tcp, listeners: l, to: b", "", "on the"),
        ("port: 1, protocol: tcp, proxy_status: true", "type: tcp, listeners: l, to: b", "", "is for HTTP"),
        ("port: 1, protocol: tcp", "type: tcp, listeners: l, to: b", "affinity: cookie", "affinity: addr"),
        (
            "port: 1, protocol: tcp", "type: tcp, listeners: l, to: b",
            "balancing: maglev, hash: path", "write `hash: client`",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_said(listener: str, route: str, backend: str, says: str) -> None:
    text = (
        f"listeners: {{ l: {{ {listener} }} }}\n"
        f"backends: {{ b: {{ endpoints: ['10.0.0.1:1'], {backend} }} }}\n"
        f"routes: [{{ {route} }}]"
    )
    with pytest.raises(ConfigError) as refused:
        loads(text)
    assert says in str(refused.value)


def test_a_listener_without_a_route_is_said() -> None:
    with pytest.raises(ConfigError, match="no route takes its connections"):
        loads("listeners: { l: { port: 1, protocol: tcp } }\nroutes: []")
