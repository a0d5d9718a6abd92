# SPDX-License-Identifier: Apache-2.0
"""What a change does not touch stays as it is; what it removes ends well."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

from tests.integration.bad_days.site import TIMEOUT, Site, kill
from tests.ports import free_port
from tidegate.config.compile import compile_gateway
from tidegate.config.load import loads
from tidegate.testing import FakeEndpoint, Reply, RunningGateway, Wire, endpoint, gateway, wait_until

GET = b"GET %b HTTP/1.1\r\nhost: a\r\n\r\n"
GONE = "127.0.0.1:1"


def config(*lines: str, **backends: list[str]) -> str:
    """Two backends and what else is said."""
    text = "listeners: {web: {port: 0}}\nbackends:\n"
    for name, addresses in backends.items():
        listed = ", ".join(f'"{each}"' for each in addresses)
        settings = "balancing: round_robin, passive_health: {exclude_for: 1h}"
        text += f"  {name}: {{endpoints: [{listed}], {settings}}}\n"
    return "\n".join([text, *lines]) + "\n"


def client(running: RunningGateway, name: str = "web") -> Wire:
    return Wire(("127.0.0.1", running.ports[name]), timeout=TIMEOUT)


def ask(wire: Wire, path: bytes = b"/") -> int:
    """One more request on the connection."""
    count = len(wire.final_responses)
    wire.send(GET % path, "GET")
    assert wire.wait_final(count + 1), wire.closed
    return wire.final_responses[-1].status


def state(running: RunningGateway, backend: str) -> dict[str, dict[str, Any]]:
    """The endpoints of a backend, by address."""
    found = next(each for each in running.status()["backends"] if each["name"] == backend)
    return {each["address"]: each for each in found["endpoints"]}


def test_pools_counters_and_exclusion_survive_changes_of_everything_else():
    with endpoint() as good, endpoint() as other:

        def step(number: int) -> str:
            return config(
                f"routes: [{{name: a, path: /a, to: kept}}, {{name: b, path: /{number}, to: other}}]",
                kept=[GONE, good.address],
                other=[other.address] if number % 2 else [GONE],
            )

        with gateway(step(0), threads=1) as running, client(running) as wire:
            for _ in range(12):
                assert ask(wire, b"/a") == 200
            before = state(running, "kept")
            assert before[GONE]["health"] == "excluded"
            for number in range(1, 30):
                running.reload(step(number))
                assert ask(wire, b"/a") == 200
            after = state(running, "kept")
            assert after[GONE] == before[GONE]
            assert after[good.address]["requests"] == before[good.address]["requests"] + 29
            assert len(good.connections) == 1


def test_an_endpoint_that_stays_keeps_its_connections_when_others_come_and_go():
    with endpoint() as stays, endpoint() as comes:
        route = "routes: [{path: /, to: origin}]"
        alone, both = (
            config(route, origin=[stays.address]),
            config(route, origin=[stays.address, comes.address]),
        )
        with gateway(alone, threads=1) as running, client(running) as wire:
            for number in range(20):
                running.reload(both if number % 2 else alone)
                for _ in range(2):
                    assert ask(wire) == 200
            assert len(stays.connections) == 1
            assert state(running, "origin")[stays.address]["requests"] == len(stays.messages)
            assert len(comes.messages) == 10


def test_an_endpoint_that_goes_finishes_what_it_has(release: threading.Event):
    with endpoint(delay=release) as goes, endpoint() as comes:
        route = "routes: [{path: /, to: origin}]"
        with gateway(config(route, origin=[goes.address])) as running, client(running) as wire:
            wire.send(GET % b"/", "GET")
            goes.wait_for(1, TIMEOUT)
            running.reload(config(route, origin=[comes.address]))
            with client(running) as another:
                assert ask(another) == 200
            assert not wire.received
            release.set()
            assert wire.wait_final(1) and wire.final_responses[0].status == 200
            assert len(goes.messages) == len(comes.messages) == 1


def test_a_request_keeps_the_configuration_it_began_with(release: threading.Event):
    with endpoint(delay=release) as upstream:

        def step(number: int) -> str:
            policies = f"[{{type: response_headers, set: {{x-step: '{number}'}}}}]"
            return config(
                f"routes: [{{path: /, to: origin, policies: {policies}}}]", origin=[upstream.address]
            )

        with gateway(step(1)) as running, client(running) as wire:
            wire.send(GET % b"/", "GET")
            upstream.wait_for(1, TIMEOUT)
            running.reload(step(2))
            release.set()
            assert wire.wait_final(1) and wire.final_responses[0].get("x-step") == "1"
            assert ask(wire) == 200 and wire.final_responses[1].get("x-step") == "2"


# A listener that goes


def sites(port: int, extra: int, upstream: FakeEndpoint) -> tuple[dict[str, Any], dict[str, Any]]:
    """A configuration with a second listener, and the same without."""
    listeners = {
        "web": {"address": "127.0.0.1", "port": port},
        "extra": {"address": "127.0.0.1", "port": extra, "timeouts": {"idle": "1h"}},
    }
    base: dict[str, Any] = {"listeners": listeners, "routes": [{"path": "/", "to": upstream.url}]}
    return base, base | {"listeners": {"web": listeners["web"]}}


def refuses(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_listener_that_goes_closes_what_is_idle_and_finishes_the_rest(
    tmp_path: Path, release: threading.Event
):
    port, extra = free_port(), free_port()
    held = Reply(body=b"whole")
    with endpoint(respond=held, delay=release) as upstream:
        both, one = sites(port, extra, upstream)
        with (
            Site(tmp_path, both) as site,
            Wire(("127.0.0.1", extra), timeout=TIMEOUT) as busy,
            Wire(("127.0.0.1", extra), timeout=TIMEOUT) as silent,
            Wire(("127.0.0.1", port), timeout=TIMEOUT) as stays,
        ):
            for wire in (busy, stays):
                wire.send(GET % b"/", "GET")
            upstream.wait_for(2, TIMEOUT)
            site.reload(one)
            assert silent.wait_closed() and silent.closed == "fin"
            assert wait_until(lambda: refuses(extra), TIMEOUT)
            release.set()
            assert busy.wait_final(1) and busy.final_responses[0].body == b"whole"
            assert busy.wait_closed() and busy.closed == "fin"
            assert stays.wait_final(1) and ask(stays) == 200
            # And comes again.
            site.reload(both)
            with Wire(("127.0.0.1", extra), timeout=TIMEOUT) as wire:
                assert ask(wire) == 200


def test_a_request_that_crosses_the_end_of_its_listener_is_answered(tmp_path: Path, release: threading.Event):
    """Pipelined behind one that was in flight: it was never acted on, and its client is told so."""
    port, extra = free_port(), free_port()
    with endpoint(delay=release) as upstream:
        both, one = sites(port, extra, upstream)
        with Site(tmp_path, both) as site, Wire(("127.0.0.1", extra), timeout=TIMEOUT) as wire:
            wire.send(GET % b"/first" + GET % b"/second", "GET", "GET")
            upstream.wait_for(1, TIMEOUT)
            site.reload(one)
            release.set()
            assert wire.wait_final(2), wire.closed
            assert [response.status for response in wire.final_responses] == [200, 503]
            assert wire.wait_closed() and wire.closed == "fin"
            assert [message.target for message in upstream.messages] == ["/first"]


def test_connections_count_once_when_control_sends_everything_anew(tmp_path: Path):
    """A control that finds another file than the node has sends the whole: connections stay counted."""
    port = free_port()

    def step(name: str) -> dict[str, Any]:
        web = {"address": "127.0.0.1", "port": port, "limits": {"connections": 3}}
        return {
            "gateway": {"name": name},
            "listeners": {"web": web},
            "routes": [{"path": "/", "to": {"respond": name}}],
        }

    def count(site: Site) -> int:
        [listener] = site.call("status")["listeners"]
        return int(listener["connections"])

    with Site(tmp_path, step("old")) as site:
        wires = [Wire(("127.0.0.1", port), timeout=TIMEOUT) for _ in range(3)]
        for wire in wires:
            assert ask(wire) == 200
        site.write(step("new"))
        kill(site.pid("control"))
        assert wait_until(lambda: site.call("status")["snapshot"] == 2, TIMEOUT)
        assert count(site) == 3
        for wire in wires:
            # It goes on under the new snapshot, and ends there.
            assert ask(wire) == 200 and wire.final_responses[-1].body == b"new"
            wire.close()
        assert wait_until(lambda: count(site) == 0, TIMEOUT), count(site)
        with Wire(("127.0.0.1", port), timeout=TIMEOUT) as wire:
            assert ask(wire) == 200


# Cost grows with the change


def many(count: int, changed: str = "") -> str:
    texts = [changed if number == count // 2 else "" for number in range(count)]
    routes = "\n".join(
        f'  - {{name: r{number}, path: /r{number}, to: {{respond: "{text}"}}}}'
        for number, text in enumerate(texts)
    )
    return f"listeners: {{web: {{port: 8080}}}}\nroutes:\n{routes}\n"


def test_a_change_of_one_route_among_many_sends_one_route():
    before, after = (compile_gateway(loads(many(2000, text), "x").gateway, threads=2) for text in ("", "new"))
    delta = after.delta(before, base=1, number=2)
    assert [(each["kind"], each["name"]) for each in delta["set"]] == [("route", f"r{1000}")]
    assert delta["remove"] == [] and delta["endpoints"] == []


def test_control_sends_one_resource_and_leaves_an_unchanged_file_alone(tmp_path: Path):
    port = free_port()

    def step(text: str) -> dict[str, Any]:
        routes = [{"name": f"r{n}", "path": f"/r{n}", "to": {"respond": "x"}} for n in range(300)]
        routes[150] = {"name": "r150", "path": "/r150", "to": {"respond": text}}
        return {"listeners": {"web": {"address": "127.0.0.1", "port": port}}, "routes": routes}

    with Site(tmp_path, step("old")) as site:
        reply = site.reload(step("new"))
        assert reply["changed"] == ["route r150"]
        assert site.ask_control("reload") == reply | {"changed": []}
        with Wire(("127.0.0.1", port), timeout=TIMEOUT) as wire:
            ask(wire, b"/r150")
            assert wire.final_responses[0].body == b"new"


def test_what_a_health_check_found_stays_while_other_things_change():
    # A check begins within a tenth of its interval and then comes again late: an endpoint whose state was
    # lost would count as well meanwhile.
    check = "health_check: {type: http, path: /healthz, interval: 1m, unhealthy_after: 1}"

    def step(number: int) -> str:
        return (
            "listeners: {web: {port: 0}}\n"
            f"backends: {{kept: {{endpoints: ['{sick.address}', '{well.address}'], {check}}}}}\n"
            f"routes: [{{path: /a, to: kept}}, {{path: /{number}, to: {{respond: 'x'}}}}]\n"
        )

    with (
        endpoint(lambda message: 503 if message.target == "/healthz" else 200) as sick,
        endpoint() as well,
        gateway(step(0), threads=1) as running,
        client(running) as wire,
    ):
        assert wait_until(lambda: state(running, "kept")[sick.address]["health"] == "down", TIMEOUT)
        for number in range(1, 20):
            running.reload(step(number))
            assert state(running, "kept")[sick.address]["health"] == "down"
            assert ask(wire, b"/a") == 200
