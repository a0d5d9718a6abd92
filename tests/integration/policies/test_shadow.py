# SPDX-License-Identifier: Apache-2.0
"""`shadow`: a policy that is only tried, and its `name`."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.settings.kit import ask
from tidegate.testing import FakeEndpoint, RunningGateway, decide, endpoint, gateway

CODE = """
    from tidegate import Response, policy

    calls = []

    @policy
    async def guard(request, call_next):
        calls.append(request.path)
        if request.headers.get("x-key") != "good":
            return Response.problem(403, "no key")
        request.headers["x-guarded"] = "1"
        response = await call_next(request)
        response.headers["x-calls"] = str(len(calls))
        return response

    @policy
    async def measures(request):
        request.headers["x-size"] = str(len(await request.body()))

    @policy
    async def breaks(request):
        raise RuntimeError("broken")
"""


@pytest.fixture(autouse=True)
def as_whoever_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:
        # The interpreter and the test's folder may be closed to others.
        monkeypatch.setenv("TIDEGATE_USER", "root")


@pytest.fixture
def upstream() -> Iterator[FakeEndpoint]:
    with endpoint() as running:
        yield running


def guarded(upstream: FakeEndpoint, folder: Path, *policies: dict[str, Any]) -> RunningGateway:
    (folder / "guards.py").write_text(textwrap.dedent(CODE))
    text = {
        "gateway": {"admin": {"address": "127.0.0.1", "port": 0}},
        "listeners": {"web": {"port": 0}},
        "functions": {
            name: {"handler": f"guards:{name}", "kind": "policy", "path": str(folder)}
            for name in ("guard", "breaks", "measures")
        },
        "backends": {"b": {"endpoints": [upstream.address]}},
        "routes": [{"name": "all", "path": "/", "to": "b", "policies": list(policies)}],
    }
    return gateway(json.dumps(text), processes=True)


def counts(running: RunningGateway) -> dict[str, float]:
    text = ask(running, "/metrics", port=running.ports["admin"]).body.decode()
    lines = [line.rpartition(" ") for line in text.splitlines() if line.startswith("tidegate_policy_")]
    return {name: float(value) for name, _, value in lines if float(value)}


def answers(running: RunningGateway) -> dict[str, float]:
    return {name: value for name, value in counts(running).items() if "_call" not in name}


def test_what_is_only_tried_changes_and_refuses_nothing_and_is_told(
    upstream: FakeEndpoint, tmp_path: Path
) -> None:
    policy = {"type": "python", "function": "guard", "name": "keys", "shadow": True}
    with guarded(upstream, tmp_path, policy) as running:
        refused = ask(running)
        taken = ask(running, headers=["X-Key: good"])
        assert (refused.status, taken.status) == (200, 200)
        # What it changes is undone on both ways.
        assert [message.get("x-guarded") for message in upstream.messages] == [None, None]
        assert taken.get("x-calls") is None
        told = [entry["would_answer"] for entry in running.log(2) if "would_answer" in entry]
        assert told == [{"keys": "403"}]
        assert answers(running) == {'tidegate_policy_answers_total{policy="keys",shadow="true"}': 1}


def test_the_same_policy_is_done_without_it(upstream: FakeEndpoint, tmp_path: Path) -> None:
    with guarded(upstream, tmp_path, {"type": "python", "function": "guard"}) as running:
        refused = ask(running)
        taken = ask(running, headers=["X-Key: good"])
        assert (refused.status, taken.status, taken.get("x-calls")) == (403, 200, "2")
        assert [message.get("x-guarded") for message in upstream.messages] == ["1"]
        assert "would_answer" not in running.log(1)[0]
        assert answers(running) == {'tidegate_policy_answers_total{policy="python",shadow="false"}': 1}


def test_a_policy_that_breaks_refuses_unless_it_is_only_tried(upstream: FakeEndpoint, tmp_path: Path) -> None:
    tried = {"type": "python", "function": "breaks", "name": "tried", "shadow": True}
    done = {"type": "python", "function": "breaks", "when": 'request.path == "/done"'}
    with guarded(upstream, tmp_path, tried, done) as running:
        assert ask(running).status == 200
        assert ask(running, "/done").status >= 500
        assert answers(running) == {
            'tidegate_policy_failures_total{policy="tried",shadow="true"}': 2,
            'tidegate_policy_failures_total{policy="python",shadow="false"}': 1,
        }


def test_a_condition_that_can_not_be_told_is_told_as_well(upstream: FakeEndpoint, tmp_path: Path) -> None:
    policy = {
        "type": "request_headers",
        "set": {"x": "1"},
        "when": 'int(request.query["n"]) > 1',
        "shadow": True,
    }
    with guarded(upstream, tmp_path, policy) as running:
        assert [ask(running, target).status for target in ("/", "/?n=2")] == [200, 200]
        assert upstream.messages[1].get("x") is None
        told = [entry["would_answer"] for entry in running.log(2) if "would_answer" in entry]
        assert told == [{"request_headers": "500"}]


def test_who_is_left_out_by_a_condition_is_not_called(upstream: FakeEndpoint, tmp_path: Path) -> None:
    policy = {"type": "python", "function": "guard", "when": 'request.path != "/open"'}
    with guarded(upstream, tmp_path, policy) as running:
        assert ask(running, "/open").status == 200
        taken = ask(running, headers=["X-Key: good"])
        assert (taken.status, taken.get("x-calls")) == (200, "1")


def test_explain_names_what_is_only_tried(upstream: FakeEndpoint) -> None:
    policies = [{"type": "request_headers", "set": {"x": "1"}, "shadow": True, "name": "trial"}]
    text = {
        "listeners": {"web": {"port": 8080}},
        "routes": [{"path": "/", "to": upstream.url, "policies": policies}],
    }
    told = decide(json.dumps(text), "GET http://a.test/")
    (policy,) = told["policies"]
    assert (policy["name"], policy["effect"], policy["shadow"]) == ("trial", "applied", True)
    assert "x" not in [name for name, _ in told["upstream"]["headers"]]


def test_a_policy_that_fails_may_be_gone_on_without(upstream: FakeEndpoint, tmp_path: Path) -> None:
    fails = {"type": "python", "function": "breaks", "on_error": "continue"}
    untold = {
        "type": "request_headers",
        "name": "untold",
        "set": {"x": "1"},
        "when": 'int(request.query["n"]) > 1',
        "on_error": "continue",
    }
    refuses = {"type": "python", "function": "guard", "name": "guard", "on_error": "continue"}
    with guarded(upstream, tmp_path, fails, untold, refuses) as running:
        # What a policy refuses is refused all the same.
        assert ask(running).status == 403
        assert ask(running, headers=["X-Key: good"]).status == 200
        assert upstream.messages[0].get("x") is None
        found = counts(running)
        seconds = found.pop('tidegate_policy_call_seconds_total{policy="guard"}')
        assert 0 < seconds < 30 and found.pop('tidegate_policy_call_seconds_total{policy="python"}') > 0
        assert found == {
            'tidegate_policy_answers_total{policy="guard",shadow="false"}': 1,
            'tidegate_policy_failures_total{policy="python",shadow="false"}': 2,
            'tidegate_policy_failures_total{policy="untold",shadow="false"}': 2,
            # The response of what went through is a call, too.
            'tidegate_policy_calls_total{policy="guard"}': 3,
            'tidegate_policy_calls_total{policy="python"}': 2,
        }


def measures(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "python", "function": "measures", "name": name, **more}


def test_a_body_is_read_for_who_takes_part_and_not_before(upstream: FakeEndpoint, tmp_path: Path) -> None:
    keys = {"type": "python", "function": "guard"}
    small = measures("small", body="1KiB", when='request.method == "POST"')
    large = measures("large", body="64KiB", when='request.path == "/large"')
    with guarded(upstream, tmp_path, keys, large, small) as running:

        def sent(method: str, size: int, key: str = "good", path: str = "/") -> int:
            return ask(running, path, method=method, headers=[f"X-Key: {key}"], body=bytes(size)).status

        assert sent("PUT", 10_000) == 200
        assert sent("POST", 1_000) == 200
        assert sent("POST", 10_000) == 413
        # Who is refused before is told that, and the body is not waited for.
        assert sent("POST", 10_000, key="bad") == 403
        # Each has its own limit, whoever read it first.
        assert sent("POST", 1_000, path="/large") == 200
        assert sent("POST", 10_000, path="/large") == 413
        assert sent("PUT", 10_000, path="/large") == 200
        # Each connection has its own messages, and each thread its own connections.
        seen = sorted((message.get("x-size") or "", len(message.body)) for message in upstream.messages)
        assert seen == [("", 10_000), ("1000", 1_000), ("1000", 1_000), ("10000", 10_000)]


def test_nobody_is_refused_for_the_body_of_one_that_is_only_tried(
    upstream: FakeEndpoint, tmp_path: Path
) -> None:
    first = measures("first", body="64KiB", when='request.path == "/both"')
    tried = measures("tried", body="1KiB", shadow=True)
    with guarded(upstream, tmp_path, first, tried) as running:
        chunked = b"2710\r\n" + bytes(10_000) + b"\r\n0\r\n\r\n"
        assert ask(running, method="POST", body=bytes(10_000)).status == 200
        headers = ["Transfer-Encoding: chunked"]
        assert ask(running, method="POST", headers=headers, body=chunked).status == 200
        assert ask(running, "/both", method="POST", body=bytes(10_000)).status == 200
        assert [len(message.body) for message in upstream.messages] == [10_000] * 3
        told = [entry["would_answer"] for entry in running.log(3) if "would_answer" in entry]
        assert told == [{"tried": "413"}]
