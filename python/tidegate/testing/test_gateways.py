# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tidegate import Backend, ConfigError, Endpoint, Gateway, Listener, Route
from tidegate.testing import FakeEndpoint, RunningGateway, decide, endpoint, gateway

RESPOND = "listeners: {{web: {{port: 0}}}}\nroutes: [{{path: /, to: {{respond: {{status: {status}}}}}}}]\n"


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def models(upstream: FakeEndpoint) -> Gateway:
    return Gateway(
        listeners={"web": Listener(port=80), "other": Listener(address="::1", port=81)},
        backends={"origin": Backend(endpoints=[Endpoint(address=upstream.address)])},
        routes=[Route(path="/", to="origin")],
    )


def test_a_gateway_of_models_serves_on_free_ports() -> None:
    with endpoint() as upstream, gateway(models(upstream)) as running:
        assert set(running.ports) == {"web", "other"}
        assert 80 not in running.ports.values()
        assert get(f"{running.url}/hello") == (200, b"ok\n")
        assert get(f"http://[::1]:{running.ports['other']}/there") == (200, b"ok\n")
        assert [message.target for message in upstream.messages] == ["/hello", "/there"]


def test_a_gateway_of_a_file_serves_and_logs(tmp_path: Path) -> None:
    file = tmp_path / "tidegate.yaml"
    file.write_text(RESPOND.format(status=202))
    with gateway(file) as running:
        assert get(f"{running.url}/logged?x=y")[0] == 202
        (entry,) = running.log(1)
        assert (entry["path"], entry["status"]) == ("/logged", 202)
        assert running.why(entry["request_id"])["path"] == "/logged"
        assert running.status()["listeners"][0]["name"] == "web"


def test_a_reload_is_served_when_it_returns() -> None:
    with gateway(RESPOND.format(status=200)) as running:
        assert get(running.url)[0] == 200
        running.reload(RESPOND.format(status=203))
        assert get(running.url)[0] == 203
        running.reload(RESPOND.format(status=204))
        assert get(running.url)[0] == 204


def test_a_reload_may_bring_a_listener() -> None:
    two = RESPOND.format(status=200).replace("{web: {port: 0}}", "{web: {port: 0}, more: {port: 0}}")
    with gateway(RESPOND.format(status=200)) as running:
        running.reload(two)
        assert get(f"http://127.0.0.1:{running.ports['more']}/")[0] == 200


def test_a_wrong_configuration_never_starts_and_never_replaces() -> None:
    with pytest.raises(ConfigError):
        gateway("listeners: {web: {prot: 0}}")
    with gateway(RESPOND.format(status=200)) as running:
        with pytest.raises(ConfigError):
            running.reload("listeners: {web: {prot: 0}}")
        assert get(running.url)[0] == 200


def test_async_with_starts_the_same_gateway() -> None:
    async def body() -> int:
        async with gateway(RESPOND.format(status=200)) as running:
            return (await asyncio.to_thread(get, running.url))[0]

    assert asyncio.run(body()) == 200


def test_decisions_need_no_sockets_and_equal_the_running_ones() -> None:
    with endpoint() as upstream, gateway(models(upstream)) as running:
        offline = decide(models(upstream), "GET http://a.test/x")
        live = running.explain({"method": "GET", "url": "http://a.test/x"})
    for decision in (offline, live):
        assert (decision["outcome"], decision["route"], decision["endpoint"]) == (
            "forward",
            "/",
            upstream.address,
        )


def test_a_node_that_dies_fails_the_test() -> None:
    with (
        pytest.raises(AssertionError, match="ended with code"),
        gateway(RESPOND.format(status=200)) as running,
    ):
        os.kill(running.pid, signal.SIGKILL)


def test_the_whole_gateway_runs_and_reloads() -> None:
    with gateway(RESPOND.format(status=200), processes=True) as running:
        assert get(running.url)[0] == 200
        running.reload(RESPOND.format(status=203))
        assert get(running.url)[0] == 203
        with pytest.raises(ConfigError):
            running.reload("listeners: {web: {prot: 0}}")
        running.log(2)
        assert running.status()["snapshot"] >= 2


def test_the_fixtures_start_and_stop(
    tidegate_gateway: Callable[..., RunningGateway], tidegate_endpoint: Callable[..., FakeEndpoint]
) -> None:
    upstream = tidegate_endpoint(respond=201)
    running = tidegate_gateway(models(upstream))
    assert get(running.url)[0] == 201
