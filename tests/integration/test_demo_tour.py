# SPDX-License-Identifier: Apache-2.0
"""The demo for real: tidegate processes in front of the shop, the tour, and each step switched off.

A switched-off step is run together with the three steps that take a blink, to see that it is red and they
are not. `TIDEGATE_WHOLE_TOURS=1` runs all steps each time instead, two minutes in all.
"""

from __future__ import annotations

import io
import json
import os
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tidegate.demo.client import Answer, request, wait_for
from tidegate.demo.overview import draw
from tidegate.demo.process import Member, descendants
from tidegate.demo.running import Running
from tidegate.demo.screen import Screen
from tidegate.demo.topology import TOPOLOGIES
from tidegate.demo.tour import Result, Step, run_tour
from tidegate.demo.tour.steps import STEPS

pytestmark = pytest.mark.usefixtures("development")
pytest.importorskip("tidegate._engine", reason="the compiled module is not built (make setup)")

QUICK = ("profile", "busy", "live")
WHOLE = os.environ.get("TIDEGATE_WHOLE_TOURS") == "1"


def _told(result: Result, said: io.StringIO) -> str:
    return f"{json.dumps(result.as_json(), indent=1)}\n{said.getvalue()}"


def test_the_tour_is_green():
    said = io.StringIO()
    result = run_tour(0, "", Screen(said))
    assert [outcome.name for outcome in result.outcomes if not outcome.is_green] == [], _told(result, said)
    assert [outcome.name for outcome in result.outcomes] == [step.name for step in STEPS]
    assert all(outcome.checks for outcome in result.outcomes)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_step_is_red_without_its_feature_and_no_other(step: Step):
    said = io.StringIO()
    only = () if WHOLE else (step.name, *QUICK)
    result = run_tour(0, step.name, Screen(said), only=only)
    red = [outcome.name for outcome in result.outcomes if not outcome.is_green]
    assert red == [step.name], _told(result, said)
    assert f"Switched off: {step.broken}" in said.getvalue()


@pytest.mark.parametrize("topology", TOPOLOGIES.values(), ids=lambda topology: topology.name)
def test_each_topology_serves_the_page_and_its_form(topology):
    with Running(topology, 0) as running:
        page = running.request("/", fields={"accept": "text/html"})
        assert page.status == 200, page
        assert b"not answering" not in page.body
        form = running.request("/users/1", {"name": "Ida"}, {"accept": "text/html"})
        assert (form.status, form.fields.get("location")) == (303, "/?done=profile#profile"), form
        order = _order(running)
        assert order.status == 201
        again = running.request("/", fields={"accept": "text/html"}).body.decode()
        assert "<strong>Ida</strong>" in again
        assert "1 × Storm lamp" in again
        assert all(f"<span>{instance.name}</span>" in again for instance in topology.instances[:1])
        assert f'data-order="{order.json["order"]}"' in again
        asked = running.request(f"/orders/{order.json['order']}/status").json
        assert asked["status"] in ("ordered", "packed", "sent")
        assert request(running.plain, "/").status == 308
        assert request(running.inside, "/healthz").status == 200
        assert _missing_on_the_map(running) == []


def _missing_on_the_map(running: Running) -> list[str]:
    said = io.StringIO()
    draw(running, Screen(said))
    known = [f"{running.places.entry}/", str(running.folder), str(running.certificate.authority)]
    for instance in running.topology.instances:
        known += [instance.name, running.address(instance).rpartition(":")[0]]
    for service in running.topology.services:
        known += [service.name, running.address(service).rpartition(":")[0]]
    return [text for text in known if text not in said.getvalue()]


def _order(running: Running) -> Answer:
    assert running.request("/cart/1", {"sku": "lamp"}).status == 200
    return running.request("/orders", {"user": "1"})


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda end: end.name)
def test_the_demo_shows_where_all_is_and_leaves_nothing_behind(end: signal.Signals):
    options = ["--topology", "load_balancer", "--port", "0", "--json"]
    command = [sys.executable, "-m", "tidegate", "demo", *options]
    # The same package as this process has, wherever that was imported from.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    shown = _first_object(process)
    members = [Member.of(one["pid"]) for one in (*shown["instances"], *shown["services"])]
    assert len(members) == 5
    assert all(member is not None and member.is_there() for member in members)
    family = descendants(process.pid)
    trust = ssl.create_default_context(cafile=shown["authority"])
    address = f"127.0.0.1:{shown['url'].rpartition(':')[2]}"
    assert b"Update Profile" in request(address, "/", trust=trust).body
    process.send_signal(end)
    _, said = process.communicate(timeout=60)
    if end != signal.SIGKILL:
        assert process.returncode == 0
        assert "nothing is left running" in said
    assert wait_for(lambda: not any(member.is_there() for member in family), 30.0)
    assert wait_for(lambda: not Path(shown["folder"]).exists(), 30.0)


def _first_object(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if line == "}\n":
            found: dict[str, Any] = json.loads(text)
            return found
    raise AssertionError(process.communicate()[1])
