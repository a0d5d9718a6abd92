# SPDX-License-Identifier: Apache-2.0
"""`api_key`: who shows a key that is known goes on as its owner, and nobody else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.settings.kit import ask
from tests.integration.supervised import supervised
from tidegate import ConfigError
from tidegate.policies.api_key.key import hash_of, new_key
from tidegate.testing import FakeEndpoint, Message, RunningGateway, decide, endpoint, gateway

GOOD, OTHER, THIRD = (new_key() for _ in range(3))


@pytest.fixture
def upstream() -> Iterator[FakeEndpoint]:
    with endpoint() as running:
        yield running


def owner(subject: str, *keys: str, **more: Any) -> dict[str, Any]:
    return {"subject": subject, "keys": [hash_of(key) for key in keys], **more}


def shop(upstream: str, policy: dict[str, Any], *, log: dict[str, Any] | None = None, routes: int = 1) -> str:
    """A gateway whose routes have this policy, as a set."""
    text = {
        "gateway": {
            "admin": {"address": "127.0.0.1", "port": 0},
            "access_log": {"path": "-", **(log or {})},
        },
        "listeners": {"web": {"port": 0, "proxy_status": True}},
        "backends": {"b": {"endpoints": [upstream]}},
        "policies": {"partners": [{"type": "api_key", **policy}]},
        "routes": [
            {"name": f"r{number}", "path": f"/{number or ''}", "to": "b", "policies": ["partners"]}
            for number in range(routes)
        ],
    }
    return json.dumps(text)


def show(running: RunningGateway, *fields: str, target: str = "/") -> Message:
    return ask(running, target, headers=fields)


def test_a_known_key_passes_and_the_endpoint_never_sees_it(upstream: FakeEndpoint) -> None:
    policy = {"owners": [owner("a", GOOD, OTHER)], "query": "k", "authorization": "bearer"}
    with gateway(shop(upstream.address, policy)) as running:
        assert show(running, f"X-API-Key: {GOOD}").status == 200
        assert show(running, f"x-api-key: {OTHER}").status == 200
        assert show(running, f"Authorization: bearer {GOOD}").status == 200
        assert show(running, target=f"/?a=1&k={GOOD}&b=2").status == 200
        assert show(running, target=f"/?%6B={GOOD}").status == 200
        assert sorted(message.target for message in upstream.messages) == ["/"] * 4 + ["/?a=1&b=2"]
        for message in upstream.messages:
            assert GOOD.encode() not in message.raw and OTHER.encode() not in message.raw


def test_everybody_else_is_refused_alike(upstream: FakeEndpoint) -> None:
    policy = {
        "owners": [
            owner("a", GOOD),
            owner("out", OTHER, disabled=True),
            {"subject": "late", "keys": [{"hash": hash_of(THIRD), "expires": "2020-01-01"}]},
        ],
        "query": "k",
    }
    with gateway(shop(upstream.address, policy)) as running:
        answers = [
            show(running),
            show(running, f"X-API-Key: {new_key()}"),
            show(running, f"X-API-Key: {GOOD[:-1]}"),
            show(running, f"X-API-Key: {OTHER}"),
            show(running, f"X-API-Key: {THIRD}"),
            show(running, f"X-API-Key: {hash_of(GOOD)}"),
            show(running, f"X-API-Key: {GOOD}", f"X-API-Key: {GOOD}"),
            show(running, f"X-API-Key: {GOOD}", target=f"/?k={GOOD}"),
            show(running, f"Authorization: Bearer {GOOD}"),
            show(running, target=f"/?k={GOOD}&k={OTHER}"),
        ]
        assert {answer.status for answer in answers} == {401}
        assert {answer.get("www-authenticate") for answer in answers} == {
            'ApiKey in="header", name="x-api-key"'
        }
        assert {json.loads(answer.body)["status"] for answer in answers} == {401}
        assert {answer.get("content-type") for answer in answers} == {"application/problem+json"}
        assert upstream.messages == []
        assert len({json.loads(answer.body)["detail"] for answer in answers}) == 1
        details = [str(entry["detail"]) for entry in running.log(len(answers))]
        wanted = [
            "request shows no API key",
            "API key is not known",
            "API key is mistyped or cut off",
            "API key's owner is disabled",
            "API key has expired",
            "API key is not known",
            "request shows several API keys",
            "request shows several API keys",
            "request shows no API key",
            "request shows several API keys",
        ]
        assert sorted(detail.removeprefix("the ") for detail in details) == sorted(wanted)


def test_no_log_has_a_key_whatever_becomes_of_the_request(upstream: FakeEndpoint) -> None:
    log = {"fields": ["x-partner-key"], "redact_query": ["none"], "redact_fields": ["x-none"]}
    policy = {"owners": [owner("a", GOOD)], "header": "X-Partner-Key", "query": "partner"}
    for more in ({}, {"forward": True}, {"shadow": True}):
        with gateway(shop(upstream.address, policy | more, log=log)) as running:
            show(running, f"X-Partner-Key: {GOOD}", target=f"/?partner={GOOD}")
            show(running, f"X-Partner-Key: {GOOD}")
            show(running, target=f"/?partner={GOOD}")
            show(running, target=f"/none?partner={GOOD}")
            assert GOOD not in json.dumps(running.log(4))
            metrics = ask(running, "/metrics", port=running.ports["admin"]).body.decode()
            assert GOOD not in metrics


def test_later_policies_know_whose_key_it_is(upstream: FakeEndpoint) -> None:
    facts = {"roles": "reader", "scopes": ["a:b"], "claims": {"plan": "gold"}}
    owners = [owner("a", GOOD, **facts), owner("b", OTHER)]
    text = json.loads(shop(upstream.address, {"owners": owners}))
    expression = 'identity.scheme == "api_key" && identity.subject == "a" && identity.claims.plan == "gold"'
    may = {"type": "authorize", "roles": ["reader"], "scopes": ["a:b"], "expression": expression}
    text["routes"][0]["policies"].append(may)
    with gateway(json.dumps(text)) as running:
        assert [show(running, f"X-API-Key: {key}").status for key in (GOOD, OTHER)] == [200, 403]


def test_forward_gives_the_key_to_the_endpoint(upstream: FakeEndpoint) -> None:
    with gateway(shop(upstream.address, {"owners": [owner("a", GOOD)], "forward": True})) as running:
        assert show(running, f"X-API-Key: {GOOD}").status == 200
        assert upstream.messages[0].get("x-api-key") == GOOD


def test_keys_change_with_the_file_and_nothing_else_does(upstream: FakeEndpoint, tmp_path: Path) -> None:
    file = tmp_path / "keys.jsonl"
    file.write_text(json.dumps(owner("a", GOOD)) + "\n")
    with gateway(shop(upstream.address, {"file": str(file)}, routes=3)) as running:
        text = shop(upstream.address, {"file": str(file)}, routes=3)
        assert [show(running, f"X-API-Key: {key}").status for key in (GOOD, OTHER)] == [200, 401]
        file.write_text(json.dumps(owner("b", OTHER)) + "\n")
        running.reload(text)
        assert [show(running, f"X-API-Key: {key}", target="/2").status for key in (GOOD, OTHER)] == [401, 200]
        file.write_text('{"subject": "b"}')
        with pytest.raises(ConfigError, match=r"`keys.jsonl` line 1: keys: is missing"):
            running.reload(text)
        assert show(running, f"X-API-Key: {OTHER}").status == 200


def test_a_file_that_changes_is_read_where_the_configuration_is_watched(tmp_path: Path) -> None:
    file = tmp_path / "keys.jsonl"
    file.write_text(json.dumps(owner("a", GOOD)) + "\n")
    text = """
listeners: { web: { port: PORT, address: 127.0.0.1 } }
routes:
  - path: /
    policies: [{ type: api_key, query: k, file: keys.jsonl }]
    to: { respond: { status: 200, body: in } }
"""
    with supervised(tmp_path, text, "--watch") as running:
        running.wait_event("configuration applied")
        assert running.get(f"/?k={GOOD}") == "in"
        with file.open("a") as stream:
            stream.write(json.dumps(owner("b", OTHER)) + "\n")
        running.wait_event("configuration applied")
        assert running.get(f"/?k={OTHER}") == "in"


@pytest.mark.parametrize("processes", [False, True])
def test_a_relative_file_is_found_beside_the_configuration(processes: bool, tmp_path: Path) -> None:
    (tmp_path / "keys.jsonl").write_text(json.dumps(owner("a", GOOD)))
    policy = "{ type: api_key, file: keys.jsonl }"
    (tmp_path / "tidegate.yaml").write_text(f"""
listeners: {{ web: {{ port: 0, policies: [{policy}] }} }}
policies: {{ partners: [{policy}] }}
backends: {{ b: {{ endpoints: ["127.0.0.1:1"], policies: [{policy}] }} }}
routes:
  - {{ path: /, policies: [partners, {policy}], to: {{ respond: 204 }} }}
  - {{ path: /b, to: b }}
""")
    with gateway(tmp_path / "tidegate.yaml", processes=processes) as running:
        assert show(running).status == 401


def test_explain_tells_what_a_key_is_worth(upstream: FakeEndpoint) -> None:
    text = shop(upstream.address, {"owners": [owner("a", GOOD)]})
    request = {"method": "GET", "url": "http://a.test/", "listener": "web"}
    refused = decide(text, request)
    assert "401" in json.dumps(refused)
    passed = decide(text, {**request, "headers": [["x-api-key", GOOD]]})
    assert "401" not in json.dumps(passed) and GOOD not in json.dumps(passed)


def test_the_command_makes_keys_that_pass(upstream: FakeEndpoint, tmp_path: Path) -> None:
    def run(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tidegate", "key", *arguments]
        return subprocess.run(command, input=given, capture_output=True, text=True, timeout=60)

    made = json.loads(run("new", "--json").stdout)
    assert run("hash", given=made["key"] + "\n").stdout.strip() == made["hash"] == hash_of(made["key"])
    shown = run("new", "--prefix", "shop").stdout.split()
    assert shown[0] == "key" and shown[1].startswith("shop_") and shown[3] == hash_of(shown[1])
    line = run("new", "--owner", "orders app")
    file = tmp_path / "keys.jsonl"
    file.write_text(line.stdout)
    key = line.stderr.split()[1]
    assert key not in line.stdout
    with gateway(shop(upstream.address, {"file": str(file)})) as running:
        assert show(running, f"X-API-Key: {key}").status == 200
    for arguments, given, says in (
        (["new", "--prefix", "Shop"], "", "is no prefix"),
        (["new", "--owner", " a"], "", "the owner has 1 to 200 printable characters"),
        (["hash"], "short\n", "a key has 16 to 256"),
        (["hash"], "", "a key has 16 to 256"),
    ):
        refused = run(*arguments, given=given)
        assert refused.returncode == 2 and says in refused.stderr and refused.stdout == ""
