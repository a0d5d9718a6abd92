# SPDX-License-Identifier: Apache-2.0
"""`tidegate endpoint`: changes of the running set, under load and over restarts."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.integration.supervised import DEADLINE, Supervised, supervised
from tidegate.testing import FakeEndpoint, Reply, endpoint, wait_until

from .traffic import Traffic

TEXT = """
gateway: { threads: 2 }
listeners: { web: { address: 127.0.0.1, port: PORT } }
backends:
  shop: { endpoints: [ENDPOINTS], balancing: round_robin }
routes:
  - { path: /, to: shop }
"""


def named(name: str, **options: Any) -> FakeEndpoint:
    """An endpoint that answers with its name."""
    return endpoint(Reply(body=name.encode()), **options)


def written(*endpoints: FakeEndpoint) -> str:
    """The configuration that names these."""
    return TEXT.replace("ENDPOINTS", ", ".join(f'"{each.address}"' for each in endpoints))


def listed(gateway: Supervised) -> dict[str, dict[str, Any]]:
    """By address, what `endpoint list` says."""
    told = json.loads(gateway.run("endpoint", "list", "shop", "--json").stdout)
    return {each["address"]: each for each in told["shop"]}


def served(gateway: Supervised, count: int = 8) -> set[str]:
    """Who answers."""
    return {gateway.get() for _ in range(count)}


@pytest.fixture
def one() -> Iterator[FakeEndpoint]:
    with named("one") as running:
        yield running


@pytest.fixture
def two() -> Iterator[FakeEndpoint]:
    with named("two") as running:
        yield running


def test_nothing_is_lost_while_endpoints_come_and_go(
    tmp_path: Path, one: FakeEndpoint, two: FakeEndpoint
) -> None:
    with supervised(tmp_path, written(one)) as gateway, Traffic(gateway.port) as traffic:
        assert wait_until(lambda: len(traffic.answers) > 20, DEADLINE)
        for _ in range(3):
            added = gateway.run("endpoint", "add", "shop", two.address, "--weight", "2")
            assert added.returncode == 0, added.stderr
            assert "added" in added.stdout
            assert wait_until(partial(traffic.heard, "two", len(traffic.answers)), DEADLINE)
            drained = gateway.run("endpoint", "drain", "shop", two.address, "--wait")
            assert drained.returncode == 0, drained.stderr
            before = len(two.messages)
            for _ in range(5):
                assert wait_until(partial(traffic.heard, "one", len(traffic.answers)), DEADLINE)
            assert len(two.messages) == before, "it is drained and got nothing"
            assert gateway.run("endpoint", "remove", "shop", two.address).returncode == 0
        assert traffic.lost == []


def test_what_is_in_flight_finishes_while_an_endpoint_drains(tmp_path: Path, two: FakeEndpoint) -> None:
    answer = threading.Event()
    with named("slow", delay=answer) as slow, supervised(tmp_path, written(slow)) as gateway:
        answers: list[str] = []
        asking = threading.Thread(target=lambda: answers.append(gateway.get()))
        asking.start()
        slow.wait_for(1)
        assert gateway.run("endpoint", "add", "shop", two.address).returncode == 0
        said = gateway.run("endpoint", "drain", "shop", slow.address)
        assert (said.returncode, said.stdout) == (0, f"{slow.address} of shop: draining: in flight 1\n")
        assert served(gateway) == {"two"}
        late = gateway.run("endpoint", "drain", "shop", slow.address, "--wait", "--timeout", "0.3")
        assert late.returncode == 1
        assert "in flight 1" in late.stderr
        assert "it goes on draining" in late.stderr
        status = gateway.run("status").stdout
        assert "draining" in next(line for line in status.splitlines() if slow.address in line)
        explained = json.loads(gateway.run("explain", "GET", "/", "--live", "--json").stdout)
        assert explained["draining"] == [slow.address]
        assert [each["source"] for each in explained["endpoints"]] == ["operator"]
        answer.set()
        assert gateway.run("endpoint", "remove", "shop", slow.address, "--wait").returncode == 0
        asking.join(DEADLINE)
        assert answers == ["slow"], "it was answered although it drained"


def test_changes_outlive_reloads_and_restarts(tmp_path: Path, one: FakeEndpoint, two: FakeEndpoint) -> None:
    with named("three") as three, supervised(tmp_path, written(one, two)) as gateway:
        added = ("endpoint", "add", "shop", three.address, "--weight", "3", "--zone", "az-1")
        assert gateway.run(*added).returncode == 0
        assert gateway.run("endpoint", "drain", "shop", one.address).returncode == 0
        assert gateway.run("endpoint", "remove", "shop", two.address).returncode == 0

        def holds() -> bool:
            found = listed(gateway)
            return (
                found[one.address]["draining"]
                and found[two.address]["removed"]
                and (found[three.address]["weight"], found[three.address]["zone"]) == (3, "az-1")
                and (found[one.address]["found_by"], found[three.address]["found_by"])
                == ("configuration", "operator")
                and served(gateway) == {"three"}
            )

        assert holds()
        gateway.write(written(one, two).replace("path: /,", "path: /, name: changed,"))
        assert gateway.run("reload").returncode == 0
        assert holds(), "after a reload"
        for role in ("control", "node"):
            before = gateway.pid(role)
            os.kill(before, signal.SIGKILL)
            assert wait_until(partial(_other, gateway, role, before), DEADLINE)
            assert wait_until(lambda: gateway.run("endpoint", "list").returncode == 0, DEADLINE)
            assert holds(), f"after the {role}'s end"
        assert gateway.run("endpoint", "undrain", "shop", one.address).returncode == 0
        assert gateway.run("endpoint", "add", "shop", two.address).returncode == 0
        assert served(gateway, 16) == {"one", "two", "three"}


def _other(gateway: Supervised, role: str, before: int) -> bool:
    try:
        return gateway.pid(role) != before
    except (StopIteration, TypeError, ValueError, KeyError):
        return False


def test_a_restart_of_everything_keeps_them(tmp_path: Path, one: FakeEndpoint, two: FakeEndpoint) -> None:
    with supervised(tmp_path, written(one)) as gateway:
        assert gateway.run("endpoint", "add", "shop", two.address).returncode == 0
        assert gateway.run("endpoint", "drain", "shop", one.address).returncode == 0
        assert gateway.stop() == 0
        gateway.again()
        gateway.wait_ready()
        assert served(gateway) == {"two"}


def test_the_last_endpoint_goes_only_by_force(tmp_path: Path, one: FakeEndpoint, two: FakeEndpoint) -> None:
    with supervised(tmp_path, written(one)) as gateway:
        for action in ("drain", "remove"):
            refused = gateway.run("endpoint", action, "shop", one.address)
            assert refused.returncode == 1
            assert (
                "its last endpoint that takes requests; add another first, or say --force" in refused.stderr
            )
        assert gateway.get() == "one"
        assert gateway.run("endpoint", "remove", "shop", one.address, "--force").returncode == 0
        assert listed(gateway)[one.address]["removed"]
        assert gateway.run("endpoint", "add", "shop", two.address).returncode == 0
        assert gateway.get() == "two"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("drain", "shopp", "127.0.0.1:1"), "backend shopp: there is none; there are shop"),
        (("drain", "shop", "127.0.0.1:1"), "it has no endpoint 127.0.0.1:1; it has 127.0.0.1:"),
        (("add", "shop", "nonsense"), "address: "),
        (("add", "shop", "127.0.0.1:1", "--weight", "-1"), "weight: must be at least 0"),
        (("add", "shop", "127.0.0.1:1", "--zone", "a b"), "zone: "),
    ],
)
def test_what_makes_no_sense_is_refused(running: Supervised, arguments: tuple[str, ...], says: str) -> None:
    refused = running.run("endpoint", *arguments)
    assert refused.returncode == 1
    assert says in refused.stderr
    asked = running.run("endpoint", *arguments, "--json")
    assert json.loads(asked.stdout)["ok"] is False


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    with named("one") as upstream, supervised(tmp_path_factory.mktemp("e"), written(upstream)) as gateway:
        yield gateway


def test_what_was_kept_and_cannot_be_read_is_said(tmp_path: Path, one: FakeEndpoint) -> None:
    with supervised(tmp_path, written(one)) as gateway:
        (tmp_path / "run" / "t" / "endpoints.json").write_text("{")
        before = gateway.pid("control")
        os.kill(before, signal.SIGKILL)
        gateway.wait_event("what was known of endpoints cannot be used", "endpoints.json")
        assert wait_until(lambda: _other(gateway, "control", before), DEADLINE)
        assert gateway.get() == "one"
