# SPDX-License-Identifier: Apache-2.0
"""The topologies' files: right as configurations, and in step with the processes that the demo starts."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import ExitStack
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from tidegate.config.load import Loaded, load, loads
from tidegate.demo import files
from tidegate.demo.places import HTTPS, LOCK_PORT, PLAIN, STOCK, NoPlaceError, Places
from tidegate.demo.topology import SERVICE_PORT, TOPOLOGIES, Instance, Topology
from tidegate.testing import endpoint, gateway, wait_until

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((files.root() / "topologies").glob("*/*.yaml"))
INSTANCES = [(topology, instance) for topology in TOPOLOGIES.values() for instance in topology.instances]


def path_of(topology: Topology, instance: Instance) -> Path:
    return files.root() / "topologies" / topology.name / instance.file


def listeners_of(topology: Topology, instance: Instance) -> dict[str, str]:
    """The listeners that the demo counts on, by name."""
    if not instance.inside:
        return {"internal": instance.address}
    stock = {"stock": f"127.0.0.1:{STOCK}"} if any(one.kind == "stock" for one in topology.services) else {}
    plain = f"127.0.0.1:{PLAIN}"
    return {"public": instance.address, "plain": plain, "inside": instance.inside, **stock}


def loaded(topology: Topology, instance: Instance) -> Loaded:
    return load(path_of(topology, instance), environment=instance.environment)


def test_each_file_belongs_to_a_topology():
    assert {path_of(*each) for each in INSTANCES} == set(FILES)


@pytest.mark.parametrize("each", INSTANCES, ids=lambda each: f"{each[0].name}/{each[1].name}")
def test_each_file_is_a_right_configuration_that_listens_where_the_demo_looks(
    each: tuple[Topology, Instance],
):
    topology, instance = each
    gateway = loaded(topology, instance).gateway
    listeners = {name: f"{one.address}:{one.port}" for name, one in gateway.listeners.items()}
    assert listeners == listeners_of(topology, instance)
    assert gateway.gateway.name == instance.name
    assert gateway.gateway.graceful_stop < 3_000, "Ctrl-C must not take long"


@pytest.mark.parametrize("topology", TOPOLOGIES.values(), ids=lambda topology: topology.name)
def test_endpoints_are_the_services_and_instances_of_the_topology(topology: Topology):
    written = {}
    for instance in topology.instances:
        for backend in loaded(topology, instance).gateway.backends.values():
            for each in backend.endpoints:
                written[each.address] = each.zone
    services = {f"{one.address}:{SERVICE_PORT}": one.zone for one in topology.services}
    inner = {one.address for one in topology.instances[1:]}
    assert {address: zone for address, zone in written.items() if address not in inner} == services
    assert inner <= set(written)


@pytest.mark.parametrize("topology", TOPOLOGIES.values(), ids=lambda topology: topology.name)
def test_outer_tiers_wait_longer_than_inner_ones_take_for_all_their_tries(topology: Topology):
    outer, *inner = (loaded(topology, instance).gateway for instance in topology.instances)
    for tier in inner:
        tries = 1 + max(route.retries.attempts for route in tier.http_routes)
        for backend in tier.backends.values():
            times = backend.timeouts
            longest = tries * (times.connect + times.first_byte) + times.pending
            for one in outer.backends.values():
                assert longest < one.timeouts.first_byte and times.stall < one.timeouts.stall


INNER = """
gateway: {{ name: inner, trusted_proxies: [127.0.0.1] }}
listeners: {{ web: {{ port: 0, proxy_status: true }} }}
backends: {{ app: {{ endpoints: [{first}, {second}], timeouts: {{ first_byte: 200ms }} }} }}
routes: [{{ path: /, to: app }}]
"""
OUTER = """
gateway: {{ name: outer }}
listeners: {{ web: {{ port: 0 }} }}
backends: {{ gateways: {{ endpoints: [{first}, {second}], timeouts: {{ first_byte: 25s }} }} }}
routes: [{{ path: /, to: gateways }}]
"""


def test_the_innermost_tier_tries_again_and_says_what_went_wrong():
    never = threading.Event()
    with ExitStack() as stack:
        stack.callback(never.set)
        slow = [stack.enter_context(endpoint(delay=never)) for _ in range(2)]
        first, second = (f'"{each.address}"' for each in slow)
        inner = [stack.enter_context(gateway(INNER.format(first=first, second=second))) for _ in range(2)]
        first, second = (f'"{urlsplit(each.url).netloc}"' for each in inner)
        outer = stack.enter_context(gateway(OUTER.format(first=first, second=second)))
        with pytest.raises(HTTPError) as failed:
            urlopen(outer.url, timeout=25)
        with failed.value as answer:
            assert answer.status == 504
            assert answer.headers["Proxy-Status"].startswith("inner; error=http_response_timeout")
        # Each instance once, by one of the two gateways.
        assert [len(each.messages) for each in slow] == [1, 1]
        # It is counted when its answer has gone.
        assert wait_until(lambda: sorted(each.status()["requests"] for each in inner) == [0, 1])


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_each_file_tells_editors_where_its_schema_is(file: Path):
    hint = re.match(r"# yaml-language-server: \$schema=(\S+)\n", file.read_text("utf-8"))
    assert hint, "the first line must be the editor hint"
    schema = (ROOT / file.relative_to(files.root().parent)).parent / hint[1]
    assert schema.resolve() == ROOT / "docs" / "reference" / "tidegate.schema.json"
    assert schema.is_file()


def test_two_demos_share_no_address():
    first, second = Places(0), Places(0)
    try:
        assert first.block != second.block
        ports = [(each.port, each.plain_port, each.stock_port) for each in (first, second)]
        assert len({*ports[0], *ports[1]}) == 6
        assert first.move("127.0.1.21:7070") != second.move("127.0.1.21:7070")
    finally:
        first.close()
        second.close()


def test_a_moved_file_means_the_same_at_other_addresses():
    places = Places(0)
    try:
        for topology, instance in INSTANCES:
            text = places.move(path_of(topology, instance).read_text("utf-8"))
            environment = {name: places.move(value) for name, value in instance.environment.items()}
            moved = loads(text, environment=environment, folder=path_of(topology, instance).parent).gateway
            addresses = {name: f"{one.address}:{one.port}" for name, one in moved.listeners.items()}
            wanted = listeners_of(topology, instance)
            assert addresses == {name: places.move(address) for name, address in wanted.items()}
            for port in (HTTPS, PLAIN, STOCK):
                assert f"127.0.0.1:{port}" not in text and f"127.0.0.1, port: {port}" not in text
            assert places.block == 0 or not re.search(r"127\.0\.[1-9]", text)
            assert ("trusted_proxies: [127.0.0.1]" in text) == bool(moved.gateway.trusted_proxies)
    finally:
        places.close()


def test_a_port_in_use_is_named_and_the_block_given_back():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(NoPlaceError, match=f"port {port} is in use; choose another with --port"):
            Places(port)
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        # HTTP/3 is spoken over UDP.
        with pytest.raises(NoPlaceError, match="is in use; choose another with --port"):
            Places(taken.getsockname()[1])
    places = Places(0)
    block = places.block
    places.close()
    with socket.socket() as again:
        again.bind((f"127.{block}.255.254", LOCK_PORT))
