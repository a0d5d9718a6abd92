# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import os
import socket
import threading
import urllib.request
from pathlib import Path

import pytest

from tidegate import Admin, ConfigError, Function, Gateway, GatewaySettings, Listener, Route, Secret
from tidegate.config.load import load
from tidegate.testing import endpoint, wait_until


@pytest.fixture
def port() -> int:
    """Free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        found: int = probe.getsockname()[1]
        return found


def answering(port: int, text: str = "hello") -> Gateway:
    return Gateway(
        listeners={"web": Listener(address="127.0.0.1", port=port)},
        routes=[Route(name="all", path="/", to={"respond": text})],
    )


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=20) as response:
        return str(response.read().decode())


def is_refused(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


def test_a_script_gets_the_addresses_and_leaves_nothing_behind(port: int) -> None:
    with answering(port).running(threads=1) as running:
        assert running.addresses == {"web": f"http://127.0.0.1:{port}"}
        assert (running.url, running.port, running.ports) == (running.addresses["web"], port, {"web": port})
        assert get(running.url) == "hello"
        assert running.status()["listeners"][0]["name"] == "web"
        assert running.explain(f"GET {running.url}/x")["route"] == "all"
        assert "configuration applied" in running.output()
        folder, pid = running.runtime_directory, running.pid
        assert folder.exists()
    assert is_refused(port)
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_an_async_script_calls_functions(port: int, tmp_path: Path) -> None:
    (tmp_path / "running_code.py").write_text("async def f(request):\n    return request.path\n")
    gateway = Gateway(
        listeners={"web": Listener(address="127.0.0.1", port=port)},
        functions={"f": Function(handler="running_code:f", path=str(tmp_path))},
        routes=[Route(path="/", to={"function": "f"})],
    )

    async def main() -> str:
        async with gateway.running() as running:
            return await asyncio.to_thread(get, f"{running.url}/there")

    assert asyncio.run(main()) == "/there"


def test_the_models_of_a_file_run_alike(port: int, tmp_path: Path) -> None:
    file = tmp_path / "tidegate.yaml"
    web = f"listeners: {{ web: {{ address: 127.0.0.1, port: {port} }} }}\n"
    file.write_text(web + "routes: [{ path: /, to: { respond: from a file } }]\n")
    with load(file).gateway.running() as running:
        assert get(running.url) == "from a file"


def test_a_reload_changes_what_is_served_and_a_mistake_does_not(port: int) -> None:
    with answering(port).running() as running:
        running.reload(answering(port, "changed"))
        assert get(running.url) == "changed"
        with pytest.raises(ConfigError, match="no backend"):
            running.reload(answering(port).model_copy(update={"routes": [Route(path="/", to="nowhere")]}))
        assert get(running.url) == "changed"


def test_secrets_go_with_the_models_in_a_file_for_this_user_alone(port: int) -> None:
    with endpoint() as upstream:
        headers = {"authorization": "Bearer " + Secret("canary", "env:KEY")}
        gateway = Gateway(
            listeners={"web": Listener(address="127.0.0.1", port=port)},
            routes=[Route(policies=[{"type": "request_headers", "set": headers}], to=upstream.url)],
        )
        with gateway.running(threads=1) as running:
            get(running.url)
            assert upstream.messages[-1].get("authorization") == "Bearer canary"
            assert "canary" not in running.output()
            assert "canary" not in str(running.explain(f"GET {running.url}/"))
            base = running.runtime_directory.parents[1]
            [written] = base.glob("*.pickle")
            assert written.stat().st_mode & 0o777 == 0o600
            assert base.stat().st_mode & 0o777 == 0o700


def test_mistakes_are_told_before_anything_starts(port: int) -> None:
    wrong = answering(port).model_copy(update={"routes": [Route(path="/", to="nowhere")]})
    with pytest.raises(ConfigError, match="no backend"), wrong.running():
        pass
    assert is_refused(port)


def test_a_port_that_is_taken_is_told(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        running = answering(port).running()
        with pytest.raises(RuntimeError, match="in use"), running:
            pass
        assert not running.runtime_directory.exists()


def test_leaving_the_block_lets_a_request_end(port: int) -> None:
    go_on = threading.Event()

    def answer_once_refused() -> None:
        wait_until(lambda: is_refused(port), 20)
        go_on.set()

    with endpoint(delay=go_on) as origin:
        gateway = Gateway(
            listeners={"web": Listener(address="127.0.0.1", port=port)},
            routes=[Route(path="/", to=origin.url)],
        )
        found: list[str] = []
        with gateway.running() as running:
            client = threading.Thread(target=lambda: found.append(get(running.url)))
            client.start()
            origin.wait_for(1, 20)
            ended = threading.Thread(target=answer_once_refused)
            ended.start()
        ended.join()
        client.join()
    assert found == ["ok\n"]


def test_every_kind_of_listener_has_an_address(tmp_path: Path) -> None:
    gateway = Gateway(
        gateway=GatewaySettings(admin=Admin(address="127.0.0.1", port=9180)),
        listeners={
            "all": Listener(port=8080),
            "six": Listener(address="::1", port=8081),
            "local": Listener(address=f"unix:{tmp_path}/web.sock"),
        },
        routes=[Route(path="/", to={"respond": "hello"})],
    )
    running = gateway.running()
    assert running.addresses == {
        "all": "http://127.0.0.1:8080",
        "six": "http://[::1]:8081",
        "local": f"unix:{tmp_path}/web.sock",
    }
    assert running.ports == {"all": 8080, "six": 8081, "admin": 9180}
