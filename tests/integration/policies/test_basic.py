# SPDX-License-Identifier: Apache-2.0
"""`basic`: who shows the name and the password of a user goes on, and nobody else."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.integration.settings.kit import ask
from tidegate import ConfigError
from tidegate._engine import hash_password
from tidegate.testing import FakeEndpoint, Message, RunningGateway, decide, endpoint, gateway

PASSWORD = "pä:ss wörd"
HASH = hash_password(PASSWORD.encode(), os.urandom(16))
BCRYPT = "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
"""Of `U*U`."""


@pytest.fixture
def upstream() -> Iterator[FakeEndpoint]:
    with endpoint() as running:
        yield running


def shop(upstream: str, policy: dict[str, Any], **settings: Any) -> str:
    text = {
        "gateway": {"access_log": {"path": "-", "redact_fields": ["x-none"]}, **settings},
        "listeners": {"web": {"port": 0, "proxy_status": True}},
        "backends": {"b": {"endpoints": [upstream]}},
        "policies": {"staff": [{"type": "basic", **policy}]},
        "routes": [
            {"name": f"r{path}", "path": path, "to": "b", "policies": ["staff"]} for path in ["/", "/2"]
        ],
    }
    return json.dumps(text)


def users() -> list[dict[str, Any]]:
    return [{"name": "anna", "password": HASH}, {"name": "berta", "password": BCRYPT}]


def shown(name: str, password: str) -> str:
    return "Authorization: Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def show(running: RunningGateway, *fields: str, target: str = "/") -> Message:
    return ask(running, target, headers=fields)


def test_a_right_password_passes_and_the_endpoint_never_sees_it(upstream: FakeEndpoint) -> None:
    with gateway(shop(upstream.address, {"users": users()})) as running:
        for _ in range(2):
            assert show(running, shown("anna", PASSWORD)).status == 200
            assert show(running, shown("berta", "U*U").replace("Basic", "bAsIc")).status == 200
        assert [message.get("authorization") for message in upstream.messages] == [None] * 4


def test_everybody_else_is_asked_for_a_password(upstream: FakeEndpoint) -> None:
    policy = {"users": users(), "realm": "the shop", "attempts": 100}
    with gateway(shop(upstream.address, policy)) as running:
        right = shown("anna", PASSWORD)
        answers = [
            show(running),
            show(running, shown("anna", "wrong")),
            show(running, shown("nobody", PASSWORD)),
            show(running, shown("anna", "")),
            show(running, right[:-1] + "!"),
            show(running, right.replace("Basic", "Bearer")),
            show(running, "Authorization: Basic " + base64.b64encode(b"anna:\xff").decode()),
        ]
        assert {answer.status for answer in answers} == {401}
        assert {answer.get("www-authenticate") for answer in answers} == {
            'Basic realm="the shop", charset="UTF-8"'
        }
        assert {answer.get("content-type") for answer in answers} == {"application/problem+json"}
        assert len({json.loads(answer.body)["detail"] for answer in answers}) == 1
        assert show(running, right, right).status == 400
        assert upstream.messages == []


def test_who_guesses_has_to_wait_on_every_route_and_who_was_right_does_not(upstream: FakeEndpoint) -> None:
    policy = {"users": users(), "attempts": 3, "window": "1h"}
    text = shop(upstream.address, policy, trusted_proxies=["127.0.0.1"])
    with gateway(text, threads=2) as running:
        here, there = "X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.2"
        assert show(running, here, shown("anna", PASSWORD)).status == 200
        for number in range(3):
            target = "/2" if number % 2 else "/"
            assert show(running, here, shown("berta", f"wrong {number}"), target=target).status == 401
        for target in ("/", "/2"):
            late = show(running, here, shown("berta", "U*U"), target=target)
            assert late.status == 429 and 3500 <= int(late.get("retry-after") or 0) <= 3600
            assert json.loads(late.body)["status"] == 429
            assert show(running, here, shown("anna", PASSWORD), target=target).status == 200
        assert show(running, there, shown("berta", "U*U")).status == 200
        # Now it is known to be right.
        assert show(running, here, shown("berta", "U*U"), target="/2").status == 200


def test_checks_hold_up_nobody_else_and_one_serves_all_who_ask_alike(upstream: FakeEndpoint) -> None:
    salt = base64.b64encode(os.urandom(16)).decode().rstrip("=")
    dear = f"$argon2id$v=19$m=65536,t=40,p=1${salt}${base64.b64encode(bytes(32)).decode().rstrip('=')}"
    text = json.loads(shop(upstream.address, {"users": [{"name": "anna", "password": dear}], "attempts": 1}))
    text["routes"].append({"name": "open", "path": "/open", "to": "b"})
    with gateway(json.dumps(text), threads=1) as running, ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(show, running, shown("anna", "wrong")) for _ in range(20)]
        begun = time.monotonic()
        assert [show(running, target="/open").status for _ in range(20)] == [200] * 20
        # One check takes longer than all of these, which a check on their thread would have held up.
        assert not all(each.done() for each in waiting)
        open_seconds = time.monotonic() - begun
        statuses = [each.result().status for each in waiting]
        assert statuses.count(401) >= 2, (statuses, open_seconds)
        assert set(statuses) <= {401, 429}
        assert show(running, shown("anna", "another")).status == 429


def test_no_log_has_a_password(upstream: FakeEndpoint) -> None:
    fields = {"path": "-", "fields": ["authorization"], "redact_fields": ["x-none"]}
    credentials = shown("anna", PASSWORD).split()[-1]
    for more in ({}, {"forward": True}, {"shadow": True}):
        text = json.loads(shop(upstream.address, {"users": users(), **more}))
        text["gateway"]["access_log"] = fields
        with gateway(json.dumps(text)) as running:
            assert show(running, shown("anna", PASSWORD)).status == 200
            show(running, shown("anna", PASSWORD), target="/none")
            log = json.dumps(running.log(2))
            assert credentials not in log and PASSWORD not in log
    assert upstream.messages[-1].get("authorization") is not None


def test_a_file_of_htpasswd_changes_with_a_reload_and_roles_stand_beside_it(
    upstream: FakeEndpoint, tmp_path: Path
) -> None:
    file = tmp_path / "users.htpasswd"
    file.write_text(f"anna:{HASH}\nberta:{BCRYPT}\n")
    policy = {"htpasswd": f"${{file:{file}}}", "users": [{"name": "anna", "roles": ["reader"]}]}
    text = json.loads(shop(upstream.address, policy))
    text["routes"][0]["policies"].append({"type": "authorize", "roles": ["reader"]})
    with gateway(json.dumps(text)) as running:
        assert show(running, shown("anna", PASSWORD)).status == 200
        assert show(running, shown("berta", "U*U")).status == 403
        assert show(running, shown("berta", "U*U"), target="/2").status == 200
        assert HASH not in json.dumps(running.status())
        file.write_text(f"anna:{HASH}\n")
        running.reload(json.dumps(text))
        assert show(running, shown("berta", "U*U"), target="/2").status == 401
        file.write_text("anna:geheim\n")
        with pytest.raises(ConfigError, match="`htpasswd` line 1 has no hash that is good enough"):
            running.reload(json.dumps(text))
        assert show(running, shown("anna", PASSWORD)).status == 200


def test_explain_checks_no_password(upstream: FakeEndpoint) -> None:
    request = {
        "method": "GET",
        "url": "http://a.test/",
        "listener": "web",
        "headers": [shown("anna", "wrong").split(": ")],
    }
    told = json.dumps(decide(shop(upstream.address, {"users": users()}), request))
    assert "401" not in told and "basic" in told
