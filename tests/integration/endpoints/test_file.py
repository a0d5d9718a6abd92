# SPDX-License-Identifier: Apache-2.0
"""Endpoints from a file that something else writes."""

import json
import os
import re
import signal
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.integration.supervised import DEADLINE, Supervised, supervised
from tests.ports import free_port
from tidegate.discovery.file.source import read
from tidegate.testing import FakeEndpoint, Reply, endpoint, wait_until

from .traffic import Traffic

TEXT = """
listeners: { web: { address: 127.0.0.1, port: PORT } }
backends:
  shop: { balancing: round_robin, discovery: { type: file, path: shop.json, interval: 20ms } }
routes:
  - { path: /, to: shop }
"""


@pytest.fixture
def two() -> Iterator[tuple[FakeEndpoint, FakeEndpoint]]:
    with endpoint(Reply(body=b"one")) as one, endpoint(Reply(body=b"two")) as other:
        yield one, other


def put(folder: Path, *endpoints: Any) -> None:
    """Writes the file as it should be: under another name first."""
    fresh = folder / "shop.json.new"
    fresh.write_text(json.dumps({"endpoints": endpoints}))
    fresh.rename(folder / "shop.json")


def has(gateway: Supervised, *addresses: str) -> bool:
    """Whether the backend has exactly these."""
    told = gateway.run("endpoint", "list", "shop", "--json")
    return told.returncode == 0 and [each["address"] for each in json.loads(told.stdout)["shop"]] == [
        *addresses
    ]


def test_changes_of_the_file_lose_nothing(tmp_path: Path, two: tuple[FakeEndpoint, FakeEndpoint]) -> None:
    one, other = (each.address for each in two)
    put(tmp_path, one)
    with supervised(tmp_path, TEXT) as gateway, Traffic(gateway.port) as traffic:
        assert wait_until(partial(traffic.heard, "one"), DEADLINE)
        put(tmp_path, one, {"address": other, "weight": 3, "zone": "az-2"})
        assert wait_until(partial(traffic.heard, "two"), DEADLINE)
        put(tmp_path, {"address": one, "draining": True}, other)
        assert wait_until(partial(has, gateway, one, other), DEADLINE)
        told = json.loads(gateway.run("endpoint", "list", "--json").stdout)["shop"]
        assert {each["found_by"] for each in told} == {"file"}
        put(tmp_path, other)
        assert wait_until(partial(has, gateway, other), DEADLINE)

        # None of these is taken: the last set stays, and the log says why.
        file = tmp_path / "shop.json"
        for text, says in (
            (f'{{"endpoints": ["{one}", ', "shop.json:2:1: did not find"),
            ("[]", "there is no endpoint in what it found"),
            (f'["{one}", "{one}"]', "is there twice"),
            ('[{"address": "h:1", "wieght": 2}]', "0.wieght: no such setting; did you mean `weight`"),
            (f'[{{"address": "{one}", "weight": 0}}]', "no endpoint that it found takes requests"),
            ("listen: 1", "must be a list of endpoints"),
        ):
            file.write_text(text)
            gateway.wait_event("the last endpoints of shop stay", says)
            assert has(gateway, other)
        file.unlink()
        gateway.wait_event("the last endpoints of shop stay", "no such file")
        os.kill(gateway.pid("control"), signal.SIGKILL)
        gateway.wait_event("control ended")
        assert wait_until(partial(has, gateway, other), DEADLINE), "also over a restart of control"
        put(tmp_path, one)
        gateway.wait_event("the source of shop works again")
        assert wait_until(partial(has, gateway, one), DEADLINE)
    assert traffic.lost == []


def test_metrics_tell_how_the_source_is(tmp_path: Path, two: tuple[FakeEndpoint, FakeEndpoint]) -> None:
    one, other = (each.address for each in two)
    admin = free_port()
    put(tmp_path, one, other)

    def told(name: str) -> float | None:
        with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=DEADLINE) as page:
            text = page.read().decode()
        found = re.search(
            rf'^tidegate_discovery_{name}{{backend="shop",kind="file"}} (\S+)$', text, re.MULTILINE
        )
        return float(found[1]) if found else None

    with supervised(tmp_path, f"gateway: {{ admin: {{ port: {admin} }} }}{TEXT}") as gateway:
        assert wait_until(lambda: told("up") == 1, DEADLINE)
        assert (told("endpoints"), told("failures_total")) == (2, 0)
        (tmp_path / "shop.json").write_text("[]")
        assert wait_until(lambda: told("up") == 0, DEADLINE)
        assert (told("endpoints"), told("failures_total")) == (2, 1), "the last ones stay"
        age = told("success_age_seconds")
        assert age is not None
        # Nobody tells the node any more, and the age grows on.
        control = gateway.pid("control")
        os.kill(gateway.process.pid, signal.SIGSTOP)
        os.kill(control, signal.SIGKILL)
        try:
            assert wait_until(lambda: (told("success_age_seconds") or 0) > age, DEADLINE)
        finally:
            os.kill(gateway.process.pid, signal.SIGCONT)
        put(tmp_path, one)
        assert wait_until(lambda: (told("up"), told("endpoints")) == (1, 1), DEADLINE)
        os.kill(gateway.pid("node"), signal.SIGKILL)
        gateway.wait_event("node started")
        assert wait_until(lambda: (told("up"), told("endpoints")) == (1, 1), DEADLINE), "another node"
        gateway.write(
            f"gateway: {{ admin: {{ port: {admin} }} }}{TEXT}".replace(
                "discovery: { type: file, path: shop.json, interval: 20ms }", f'endpoints: ["{one}"]'
            )
        )
        assert gateway.run("reload").returncode == 0
        assert wait_until(lambda: told("up") is None, DEADLINE)


def test_the_configuration_and_the_operator_come_first(
    tmp_path: Path, two: tuple[FakeEndpoint, FakeEndpoint]
) -> None:
    one, other = (each.address for each in two)
    put(tmp_path, {"address": one, "weight": 7}, other)
    both = TEXT.replace("shop: {", f'shop: {{ endpoints: [{{ address: "{one}", weight: 2 }}],')
    with supervised(tmp_path, both) as gateway:

        def told() -> dict[str, tuple[Any, ...]]:
            found = json.loads(gateway.run("endpoint", "list", "shop", "--json").stdout)["shop"]
            return {each["address"]: (each["found_by"], each["weight"]) for each in found}

        assert told() == {one: ("configuration", 2), other: ("file", 1)}
        assert gateway.run("endpoint", "add", "shop", other, "--weight", "5").returncode == 0
        assert told() == {one: ("configuration", 2), other: ("operator", 5)}
        gateway.write(
            both.replace("discovery: { type: file, path: shop.json, interval: 20ms }", "host: keep")
        )
        assert gateway.run("endpoint", "remove", "shop", other).returncode == 0
        assert gateway.run("reload").returncode == 0
        assert told() == {one: ("configuration", 2)}, "the source is gone, and what it found with it"


def test_a_configuration_that_is_refused_leaves_the_source_alone(
    tmp_path: Path, two: tuple[FakeEndpoint, FakeEndpoint]
) -> None:
    one, other = (each.address for each in two)
    put(tmp_path, one)
    with supervised(tmp_path, TEXT) as gateway:
        # Its address cannot be bound: found out when it is applied.
        gateway.write(TEXT.replace("127.0.0.1", "192.0.2.1").replace("shop.json", "other.json"))
        assert gateway.run("reload").returncode != 0
        assert gateway.get() == "one"
        put(tmp_path, other)
        assert wait_until(lambda: gateway.get() == "two", DEADLINE)


def test_each_mistake_is_at_its_place(tmp_path: Path) -> None:
    file = tmp_path / "e.yaml"
    file.write_text(
        "endpoints:\n  - 10.0.0.1:80\n  - address: nonsense\n  - { address: 'h:1', weight: -1 }\n"
    )
    with pytest.raises(ValueError) as raised:
        read(file)
    lines = str(raised.value).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"{file}:3:5: 1.address: ")
    assert lines[1] == f"{file}:4:5: 2.weight: must be at least 0"


def test_nothing_outside_the_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("10.0.0.1:80")
    file = tmp_path / "e.yaml"
    file.write_text("['${file:secret}', '${env:HOME}:80']")
    with pytest.raises(ValueError, match=r"\$\{file:secret\}"):
        read(file)
