# SPDX-License-Identifier: Apache-2.0
"""Endpoints from the DNS, by a real server on loopback and through a real gateway."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import dns.exception
import dns.rcode
import pytest

from tests.integration.supervised import DEADLINE, Supervised, supervised
from tidegate.discovery.dns import DnsDiscovery
from tidegate.discovery.dns.source import look_up, weights
from tidegate.testing import FakeEndpoint, Reply, endpoint, wait_until

from .nameserver import Nameserver
from .traffic import Traffic

TEXT = """
listeners: {{ web: {{ address: 127.0.0.1, port: PORT }} }}
backends:
  shop:
    balancing: round_robin
    discovery: {{ type: dns, name: {name}, {more}, resolvers: ["{resolver}"], min_ttl: {least}, timeout: 1s }}
routes:
  - {{ path: /, to: shop }}
"""


@pytest.fixture
def server() -> Iterator[Nameserver]:
    with Nameserver() as running:
        yield running


@contextlib.contextmanager
def twins() -> Iterator[tuple[FakeEndpoint, FakeEndpoint]]:
    """Two endpoints on one port, of 127.0.0.1 and 127.0.0.2."""
    for _ in range(20):
        one = endpoint(Reply(body=b"one"))
        try:
            two = endpoint(Reply(body=b"two"), address="127.0.0.2", port=int(one.address.rpartition(":")[2]))
        except OSError:
            one.close()
            continue
        with one, two:
            yield one, two
        return
    raise AssertionError("no port is free on both addresses")


def looked_up(server: Nameserver, **settings: Any) -> tuple[list[dict[str, Any]], float]:
    """What one look-up finds."""
    settings = {"name": "shop.test", "port": 80, "timeout": "2s", **settings}
    found, ttl = asyncio.run(look_up(DnsDiscovery(resolvers=[server.address], **settings)))
    keys = ("address", "weight", "priority") if settings.get("record") == "srv" else ("address", "weight")
    return [{key: getattr(each, key) for key in keys} for each in found], ttl


def test_addresses_of_both_families_are_endpoints(server: Nameserver) -> None:
    server.holds("shop.test", "10.0.0.2", "10.0.0.1", ttl=60)
    server.holds("shop.test", "fd00::1", ttl=30, kind="AAAA")
    found, ttl = looked_up(server, weight=2)
    assert found == [
        {"address": address, "weight": 2} for address in ("10.0.0.1:80", "10.0.0.2:80", "[fd00::1]:80")
    ]
    assert ttl == 30
    assert [each["address"] for each in looked_up(server, record="aaaa")[0]] == ["[fd00::1]:80"]
    assert len(looked_up(server, record="a")[0]) == 2


def test_a_name_that_stands_for_another_holds_as_long_as_the_shortest(server: Nameserver) -> None:
    server.holds("shop.test", "real.test.", ttl=7, kind="CNAME")
    server.holds("real.test", "10.0.0.1", ttl=60)
    assert looked_up(server, record="a") == ([{"address": "10.0.0.1:80", "weight": 1}], 7)


def test_services_have_ports_weights_and_priorities(server: Nameserver) -> None:
    server.holds("_http._tcp.test", "10 3 8081 a.test.", "10 1 8082 b.test.", "20 9 8083 c.test.", kind="SRV")
    server.holds("a.test", "10.0.0.1", "10.0.0.2")
    server.holds("b.test", "fd00::1", ttl=9, kind="AAAA")
    server.holds("c.test", "10.0.0.3")
    found, ttl = looked_up(server, name="_http._tcp.test", record="srv", port=None)
    assert found == [
        {"address": "10.0.0.1:8081", "weight": 3, "priority": 0},
        {"address": "10.0.0.2:8081", "weight": 3, "priority": 0},
        {"address": "10.0.0.3:8083", "weight": 9, "priority": 1},
        {"address": "[fd00::1]:8082", "weight": 1, "priority": 0},
    ]
    assert ttl == 9


def test_a_weight_of_nothing_is_a_small_chance() -> None:
    assert weights([0, 0]) == [1, 1]
    assert weights([5, 2]) == [5, 2]
    assert weights([5, 0]) == [50, 1]


def test_an_answer_cut_short_is_asked_for_again_over_tcp(server: Nameserver) -> None:
    server.truncates = True
    server.holds("shop.test", *(f"10.0.{number // 200}.{number % 200 + 1}" for number in range(600)))
    assert len(looked_up(server, record="a")[0]) == 600
    assert [each.over_tcp for each in server.asked] == [False, True]


def test_identifiers_and_ports_are_never_the_same(server: Nameserver) -> None:
    server.holds("shop.test", "10.0.0.1")
    for _ in range(20):
        looked_up(server, record="a")
    numbers, ports = ({each.number for each in server.asked}, {each.port for each in server.asked})
    assert len(numbers) > 15
    assert len(ports) > 15


def test_the_second_resolver_is_asked_when_the_first_is_silent(server: Nameserver) -> None:
    server.holds("shop.test", "10.0.0.1")
    with Nameserver(is_silent=True) as silent:
        settings = DnsDiscovery(
            name="shop.test",
            port=80,
            record="a",
            resolvers=[silent.address, server.address],
            timeout="4s",
        )
        found, _ = asyncio.run(look_up(settings))
    assert [each.address for each in found] == ["10.0.0.1:80"]


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NXDOMAIN])
def test_what_is_no_answer_is_an_error(server: Nameserver, rcode: int) -> None:
    server.rcode = rcode
    with pytest.raises(dns.exception.DNSException):
        looked_up(server)


@pytest.mark.parametrize("addresses", [(), ("0.0.0.0", "224.0.0.1")])
def test_addresses_that_nobody_can_have_are_none(server: Nameserver, addresses: tuple[str, ...]) -> None:
    server.holds("shop.test", "text", kind="TXT")
    server.holds("shop.test", *addresses)
    with pytest.raises(ValueError, match="no addresses"):
        looked_up(server, record="a")


def test_a_service_that_is_decidedly_not_there(server: Nameserver) -> None:
    server.holds("_http._tcp.test", "0 0 0 .", kind="SRV")
    with pytest.raises(ValueError, match="no such service"):
        looked_up(server, name="_http._tcp.test", record="srv", port=None)


def test_names_are_followed_by_ttl_and_nothing_is_lost(tmp_path: Path, server: Nameserver) -> None:
    with twins() as (one, _):
        port = one.address.rpartition(":")[2]
        server.holds("shop.test", "127.0.0.1", ttl=1)
        text = TEXT.format(name="shop.test", more=f"port: {port}", resolver=server.address, least="100ms")
        with supervised(tmp_path, text) as gateway, Traffic(gateway.port) as traffic:
            assert wait_until(lambda: traffic.heard("one"), DEADLINE)
            server.holds("shop.test", "127.0.0.1", "127.0.0.2", ttl=1)
            assert wait_until(lambda: traffic.heard("two"), DEADLINE)
            server.holds("shop.test", "127.0.0.2", ttl=1)
            assert wait_until(lambda: list(_listed(gateway)) == [f"127.0.0.2:{port}"], DEADLINE)
            # Whatever goes wrong from now on, the last set stays.
            for trouble in ({"rcode": dns.rcode.SERVFAIL}, {"rcode": None, "is_silent": True}):
                for key, value in trouble.items():
                    setattr(server, key, value)
                seen = len(server.asked)
                assert wait_until(partial(_asked_since, server, seen), DEADLINE)
                assert list(_listed(gateway)) == [f"127.0.0.2:{port}"]
            server.is_silent = False
            server.holds("shop.test")
            gateway.wait_event("the last endpoints of shop stay", "there is no such name")
            assert "there is no such name" in gateway.run("endpoint", "list").stdout
            assert _listed(gateway)[f"127.0.0.2:{port}"]["found_by"] == "dns"
            os.kill(gateway.pid("control"), signal.SIGKILL)
            gateway.wait_event("control ended")
            assert wait_until(lambda: list(_listed(gateway)) == [f"127.0.0.2:{port}"], DEADLINE)
            server.holds("shop.test", "127.0.0.1", ttl=1)
            assert wait_until(lambda: list(_listed(gateway)) == [f"127.0.0.1:{port}"], DEADLINE)
        assert traffic.lost == []


def _asked_since(server: Nameserver, seen: int) -> bool:
    return len(server.asked) > seen + 3


def _listed(gateway: Supervised) -> dict[str, dict[str, Any]]:
    told = gateway.run("endpoint", "list", "shop", "--json")
    if told.returncode != 0:
        return {}
    return {each["address"]: each for each in json.loads(told.stdout)["shop"]}


def test_an_answer_holds_as_long_as_its_ttl(tmp_path: Path, server: Nameserver) -> None:
    with endpoint(Reply(body=b"one")) as upstream:
        port = upstream.address.rpartition(":")[2]
        server.holds("shop.test", "127.0.0.1", ttl=3600)
        text = TEXT.format(
            name="shop.test", more=f"record: a, port: {port}", resolver=server.address, least="10ms"
        )
        with supervised(tmp_path, text) as gateway:
            assert gateway.get() == "one"
            for _ in range(3):
                assert gateway.run("reload").returncode == 0
            assert len(server.asked) == 1, "reloads do not ask again either"
            gateway.write(text.replace("timeout: 1s", "max_ttl: 50ms"))
            assert gateway.run("reload").returncode == 0
            assert wait_until(lambda: len(server.asked) > 5, DEADLINE)
