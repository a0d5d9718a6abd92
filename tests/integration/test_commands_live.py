# SPDX-License-Identifier: Apache-2.0
"""Commands that ask a running instance."""

import http.client
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.supervised import DEADLINE, Supervised, supervised, wait_gone
from tidegate.testing import FakeEndpoint, endpoint, wait_until

TEXT = """
gateway: { threads: 1, memory: 2GiB }
listeners: { web: { address: 127.0.0.1, port: PORT } }
backends:
  shop: { endpoints: [{ address: "UPSTREAM", zone: a }] }
routes:
  - { name: home, path: /home, to: shop }
  - { name: hello, path: /hello, to: { respond: hello } }
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeEndpoint]:
    with endpoint() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, upstream: FakeEndpoint) -> Iterator[Supervised]:
    with supervised(tmp_path_factory.mktemp("live"), TEXT.replace("UPSTREAM", upstream.address)) as running:
        yield running


def request_id(gateway: Supervised, path: str, upstream: FakeEndpoint) -> str:
    before = len(upstream.messages)
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=DEADLINE)
    connection.request("GET", path)
    connection.getresponse().read()
    connection.close()
    message = upstream.wait_for(before + 1)[-1]
    return next(value.decode() for name, value in message.fields if name.lower() == b"x-request-id")


def test_status_shows_processes_listeners_and_endpoints(gateway: Supervised, upstream: FakeEndpoint) -> None:
    said = gateway.run("status").stdout
    assert said.splitlines()[0] == "t"
    assert wait_until(lambda: "of 2048 MiB (gateway.memory): ample" in gateway.run("status").stdout, DEADLINE)
    for role in ("supervisor", "node", "control"):
        assert role in said
    assert f"tcp:127.0.0.1:{gateway.port}" in said
    line = next(line for line in said.splitlines() if upstream.address in line)
    assert line.split()[:4] == ["shop", upstream.address, "a", "1"]


def test_status_shows_priorities_and_backends_under_pressure(tmp_path: Path) -> None:
    check = "health_check: { type: tcp, interval: 20ms, unhealthy_after: 1 }"
    with endpoint() as well, endpoint(fail="refuse") as ill:
        text = f"""
listeners: {{ web: {{ address: 127.0.0.1, port: PORT }} }}
backends:
  a:
    endpoints: ["{well.address}", {{ address: "{ill.address}", priority: 3 }}]
    adaptive_concurrency: {{ least: 7, most: 7 }}
  b: {{ endpoints: ["{ill.address}"], {check} }}
  c: {{ endpoints: ["{well.address}"] }}
routes: [{{ path: /a, to: a }}, {{ path: /b, to: b }}, {{ path: /c, to: c }}]
"""
        with supervised(tmp_path, text) as running:

            def pressed() -> dict[str, str]:
                lines = running.run("status").stdout.partition("PRESSED")[2].splitlines()[1:]
                return {line.split()[0]: " ".join(line.split()) for line in lines if line}

            panics = "b 0 0 0 - not believed, too few are well"
            assert wait_until(lambda: pressed().get("b") == panics, DEADLINE)
            told = running.run("status").stdout.partition("CHECK FAILED")[2].splitlines()
            assert told[1].split()[:4] == ["b", ill.address, "connecting", "failed:"]
            assert pressed()["a"] == "a 0 0 0 7 believed"
            assert "c" not in pressed()
            table = running.run("status").stdout.partition("BACKEND")[2]
            assert table.split()[:3] == ["ENDPOINT", "ZONE", "PRIORITY"]
            assert f"{ill.address}  -            3" in table


def test_status_as_json_has_the_nodes_own_words(gateway: Supervised) -> None:
    status = json.loads(gateway.run("status", "--json").stdout)
    assert status["instance"] == "t"
    assert status["node"]["threads"] == 1
    assert status["control"]["files"] == ["tidegate.yaml"]
    assert {each["role"] for each in status["control"]["processes"]} == {"supervisor", "node", "control"}


def test_explain_live_asks_the_node_and_names_the_line(gateway: Supervised, upstream: FakeEndpoint) -> None:
    said = gateway.run("explain", "GET", "/home/x?a=1", "--live").stdout
    assert "(live: t)" in said
    assert f"route      home   {gateway.path}:7" in said
    assert f"endpoint   {upstream.address}  zone a" in said
    assert "upstream   GET /home/x?a=1" in said


def test_explain_live_refuses_a_port_that_no_listener_has(gateway: Supervised) -> None:
    assert (
        "(live: t)" in gateway.run("explain", "GET", f"http://localhost:{gateway.port}/home", "--live").stdout
    )
    refused = gateway.run("explain", "GET", "http://localhost:1/home", "--live")
    assert refused.returncode == 2
    assert f"no listener has port 1; there are `web` at {gateway.port}" in refused.stderr


def test_why_shows_what_became_of_a_request(gateway: Supervised, upstream: FakeEndpoint) -> None:
    found = request_id(gateway, "/home/y", upstream)
    said = gateway.run("why", found)
    assert said.returncode == 0, said.stderr
    assert f"route            home   {gateway.path}:7" in said.stdout
    assert f"endpoint         {upstream.address}" in said.stdout
    entry = json.loads(gateway.run("why", found, "--json").stdout)
    assert (entry["status"], entry["route"], entry["path"]) == (200, "home", "/home/y")


def test_why_of_an_unknown_request_says_where_else_to_look(gateway: Supervised) -> None:
    said = gateway.run("why", "nope")
    assert said.returncode == 1
    assert "t does not know request 'nope'" in said.stderr


def test_status_and_explain_go_on_without_control(tmp_path: Path) -> None:
    text = TEXT.replace("UPSTREAM", "127.0.0.1:9")
    with supervised(tmp_path, text) as gateway:
        control = gateway.pid("control")
        gateway.process.kill()
        gateway.wait()
        wait_gone(control)
        status = gateway.run("status")
        assert status.returncode == 0
        assert "control    not running; traffic goes on" in status.stdout
        assert "home" in gateway.run("explain", "GET", "/home", "--live").stdout
        assert gateway.run("reload").returncode == 4
        node = json.loads(gateway.run("status", "--json").stdout)["node"]["pid"]
        os.kill(node, signal.SIGTERM)
        wait_gone(node)


def test_several_instances_are_told_apart_by_name(tmp_path: Path, gateway: Supervised) -> None:
    text = TEXT.replace("UPSTREAM", "127.0.0.1:9")
    other = Supervised(tmp_path, text, "--runtime-directory", str(gateway.folder / "run"), name="u")
    try:
        other.wait_ready()
        said = gateway.run("status")
        assert said.returncode == 4
        assert "several instances are running: t, u; choose one with --name" in said.stderr
        assert gateway.run("status", "--name", "u").stdout.splitlines()[0] == "u"
        assert other.stop() == 0
    finally:
        other.close()
