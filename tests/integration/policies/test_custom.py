# SPDX-License-Identifier: Apache-2.0
"""Policies of installed packages, with settings of their own, on real traffic."""

from __future__ import annotations

import importlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.policies.installed import forget, install, seen
from tests.integration.settings.kit import ask
from tidegate.config.load import loads
from tidegate.config.problem import ConfigError
from tidegate.testing import FakeEndpoint, RunningGateway, decide, endpoint, gateway, wait_until


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "site"
    install(folder)
    with seen(folder):
        yield folder


@pytest.fixture
def upstream() -> Iterator[FakeEndpoint]:
    with endpoint() as running:
        yield running


def text(upstream: FakeEndpoint, *, functions: str = "", **tiers: str) -> str:
    routes = "\n".join(
        f"  - {{ name: {name}, path: /{name}, to: b, policies: [{{ type: partners, {settings} }}] }}"
        for name, settings in tiers.items()
    )
    return f"""
listeners: {{ web: {{ port: 0 }} }}
backends: {{ b: {{ endpoints: ["{upstream.address}"] }} }}
{functions}
routes:
  - {{ name: bare, path: /, to: b }}
{routes}
"""


def told(running: RunningGateway, target: str, **more: Any) -> str | None:
    answer = ask(running, target, **more)
    assert answer.status == 200, answer
    return answer.get("x-told")


@pytest.mark.usefixtures("site")
def test_each_use_has_its_own_settings_and_one_process_runs_all(upstream: FakeEndpoint) -> None:
    first = text(upstream, a="tier: gold", b="tier: silver, share: 0.25, wait: 1500ms", c="tier: gold")
    with gateway(first, processes=True) as running:
        assert told(running, "/a") == "gold 0.5 5s"
        assert told(running, "/b") == "silver 0.25 1500ms"
        assert told(running, "/") is None
        assert [each.get("x-tier") for each in upstream.messages] == ["gold", "silver", None]
        # Equal settings are one object, and all are in one process.
        found = {ask(running, f"/{name}").get("x-process") for name in "abcabc"}
        assert len(found) == 1
        assert str(found.pop()).endswith(" 2")


@pytest.mark.usefixtures("site")
def test_changed_settings_are_in_force_after_a_reload_and_no_request_is_lost(upstream: FakeEndpoint) -> None:
    with gateway(text(upstream, a="tier: gold", b="tier: gold"), processes=True) as running:
        answers: list[tuple[int, str | None]] = []
        stop = threading.Event()

        def go_on() -> None:
            while not stop.is_set():
                answer = ask(running, "/a")
                answers.append((answer.status, answer.get("x-told")))

        clients = [threading.Thread(target=go_on) for _ in range(4)]
        for client in clients:
            client.start()
        for number in range(10):
            share = f"0.{number + 1}"
            running.reload(text(upstream, a=f"tier: silver, share: {share}", b="tier: gold"))
            assert told(running, "/a") == f"silver {float(share)} 5s"
            assert told(running, "/b") == "gold 0.5 5s"
        stop.set()
        for client in clients:
            client.join()
        assert {status for status, _ in answers} == {200}
        assert len(answers) > 40
        told_by = {each for _, each in answers}
        assert None not in told_by
        assert len(told_by) > 1


@pytest.mark.usefixtures("site")
def test_a_secret_gets_to_the_code_and_nowhere_else(
    upstream: FakeEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARTNER_KEY", "hunter2-of-partners")
    path = tmp_path / "gate.yaml"
    path.write_text(
        text(upstream, a='tier: gold, key: "${env:PARTNER_KEY}"').replace("port: 0", "port: 8080")
    )
    with gateway(path, processes=True) as running:
        assert ask(running, "/a").status == 403
        assert told(running, "/a", headers=["X-Key: hunter2-of-partners"]) == "gold 0.5 5s"
        assert "hunter2" not in json.dumps(running.explain("GET http://a.test/a"))


@pytest.mark.usefixtures("site")
def test_a_body_is_handed_over_where_the_settings_say_how_much(upstream: FakeEndpoint) -> None:
    with gateway(text(upstream, a="tier: gold, body: 5B"), processes=True) as running:
        assert told(running, "/a", method="POST", body=b"12345") == "gold 0.5 5s"
        assert upstream.messages[0].get("x-size") == "5"
        assert ask(running, "/a", method="POST", body=b"123456").status == 413


@pytest.mark.usefixtures("site")
def test_what_all_policies_have_works_as_everywhere(upstream: FakeEndpoint) -> None:
    written = text(
        upstream,
        a='tier: gold, key: k, shadow: true, name: tried, when: "!(\\"x-skip\\" in request.headers)"',
    )
    with gateway(written, processes=True) as running:
        assert ask(running, "/a").status == 200
        entry = running.log(1)[0]
        assert entry["would_answer"] == {"tried": "403"}
        assert ask(running, "/a", headers=["X-Skip: 1"]).status == 200
        assert "would_answer" not in running.log(2)[1]


@pytest.mark.usefixtures("site")
def test_a_function_of_its_name_says_how_it_is_run(upstream: FakeEndpoint) -> None:
    own = 'functions: { partners: { handler: "partners.rules:check", kind: policy, workers: 2 } }'
    with gateway(text(upstream, functions=own, a="tier: gold"), processes=True) as running:
        found: set[str] = set()

        def both() -> bool:
            found.add(str(ask(running, "/a").get("x-process")).split()[0])
            return len(found) == 2

        assert wait_until(both)
    other = 'functions: { partners: { handler: "other:check", kind: policy } }'
    with pytest.raises(ConfigError, match=r"functions\.partners: runs the policy of type `partners`; write"):
        gateway(text(upstream, functions=other, a="tier: gold"), processes=True)
    joined = 'functions: { f: { handler: "a:b", pool: partners } }'
    with pytest.raises(ConfigError, match=r"functions\.f\.pool: `partners` runs the policy of that type"):
        gateway(text(upstream, functions=joined, a="tier: gold"), processes=True)


def test_a_class_of_a_configuration_in_python_needs_no_package(
    upstream: FakeEndpoint, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    install(site, name="others")
    with seen(site):
        from tidegate import Gateway, Route

        partners = importlib.import_module("partners")

        def written(**settings: Any) -> Gateway:
            policies = [partners.Partners(**settings)]
            return Gateway(
                listeners={"web": {"port": 8080}},
                routes=[Route(path="/", to=upstream.url, policies=policies)],
            )

        with gateway(written(tier="gold"), processes=True) as running:
            assert told(running, "/") == "gold 0.5 5s"
            running.reload(written(tier="silver", share=1))
            assert told(running, "/") == "silver 1.0 5s"
        with pytest.raises(ConfigError, match=r"test_custom\.py:[0-9]+: teir: no such setting; did you mean"):
            written(teir="gold")


@pytest.mark.usefixtures("site")
def test_explain_names_it_without_running_it(upstream: FakeEndpoint) -> None:
    decision = decide(text(upstream, a="tier: gold"), "GET http://a.test/a")
    (policy,) = [each for each in decision["policies"] if each["name"] == "partners"]
    assert policy["kind"] == "python"


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ("tier: gold, teir: 1", "6:39: routes[0].policies[0].teir: no such setting; did you mean `tier`?"),
        ("tier: lead", "6:33: routes[0].policies[0].tier: "),
        ("tier: gold, share: 2", "6:46: routes[0].policies[0].share: must be at most 1"),
        ("tier: gold, wait: 5", "6:45: routes[0].policies[0].wait: 5 has no unit"),
        ("share: 0.5", "6:9: routes[0].policies[0].tier: is missing"),
    ],
)
def test_mistakes_are_told_with_their_place(settings: str, wrong: str) -> None:
    written = f"""\
listeners: {{ web: {{ port: 8080 }} }}
routes:
  - path: /
    to: {{ respond: 204 }}
    policies:
      - {{ type: partners, {settings} }}
"""
    with pytest.raises(ConfigError) as refused:
        loads(written, "t.yaml")
    (problem,) = refused.value.problems
    assert str(problem).startswith(f"t.yaml:{wrong}"), problem


def test_a_package_that_can_not_be_used_is_told(tmp_path: Path) -> None:
    route = "{ path: /, to: { respond: 204 }, policies: [{ type: partners }] }"
    written = f"{{ listeners: {{ web: {{ port: 80 }} }}, routes: [{route}] }}"
    site = tmp_path / "site"
    cases = {
        "import nowhere": "ModuleNotFoundError: No module named 'nowhere'",
        "Settings = 1": "the room policies/partners has no model named `Settings`",
        "from tidegate.config.policy_settings import PolicySettings as Settings": (
            "PolicySettings does not derive from `tidegate.CustomPolicy`"
        ),
        "import tidegate\nclass Settings(tidegate.CustomPolicy): pass": (
            'Settings is not of type `partners`: write `type: Literal["partners"] = "partners"` in it'
        ),
        "import tidegate, typing\nclass Settings(tidegate.CustomPolicy):\n"
        "    type: typing.Literal['partners'] = 'partners'": (
            "Settings has no `function`: write the handler of its code"
        ),
    }
    with seen(site):
        for model, says in cases.items():
            install(site, model=model, value="partners")
            forget()
            with pytest.raises(ConfigError) as refused:
                loads(written, "t.yaml")
            assert f"`partners` is of a package that can not be used: {says}" in str(refused.value)
