# SPDX-License-Identifier: Apache-2.0
"""`ip_allow` and `ip_deny`: who comes in, by address, and what others are told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.settings.kit import ask
from tests.ports import free_port
from tidegate.config.load import load
from tidegate.config.problem import ConfigError
from tidegate.testing import FakeEndpoint, RunningGateway, decide, endpoint, gateway

ALLOW, DENY = "ip_allow", "ip_deny"


@pytest.fixture
def upstream() -> Iterator[FakeEndpoint]:
    with endpoint() as running:
        yield running


def configuration(address: str, *policies: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "gateway": {"trusted_proxies": ["127.0.0.0/8"], "admin": {"address": "127.0.0.1", "port": 0}},
        "listeners": {"web": {"port": 0, "proxy_status": True}},
        "backends": {"b": {"endpoints": [address]}},
        "routes": [{"name": "all", "path": "/", "to": "b", "policies": list(policies)}],
        **more,
    }


def guarded(upstream: FakeEndpoint, *policies: dict[str, Any], **more: Any) -> RunningGateway:
    return gateway(json.dumps(configuration(upstream.address, *policies, **more)))


def status(running: RunningGateway, client: str) -> int:
    return ask(running, headers=[f"X-Forwarded-For: {client}"]).status


@pytest.mark.parametrize("is_file", [False, True])
def test_who_is_allowed_comes_in_and_nobody_else(upstream: FakeEndpoint, is_file: bool) -> None:
    networks = ["192.0.2.0/24", "2001:db8::/32"]
    listed = {"file": "\n".join(networks)} if is_file else {"addresses": networks}
    with guarded(upstream, {"type": ALLOW, **listed}) as running:
        for client in ("192.0.2.1", "192.0.2.255", "2001:db8::7", "::ffff:192.0.2.1", "[2001:db8::1]:4711"):
            assert status(running, client) == 200, client
        for client in ("192.0.3.0", "2001:db9::", "::ffff:192.0.3.0", "198.51.100.1", "::"):
            assert status(running, client) == 403, client
        # Of what strangers wrote, the last that a trusted proxy vouches for counts.
        assert status(running, "192.0.2.1, 198.51.100.1") == 403
        assert status(running, "198.51.100.1, 192.0.2.1") == 200
        assert len(upstream.messages) == 6


def test_who_is_denied_stays_out(upstream: FakeEndpoint) -> None:
    policy = {"type": DENY, "addresses": ["192.0.2.0/24"], "file": "2001:db8::/32 ; more\n"}
    with guarded(upstream, policy) as running:
        for client in ("192.0.2.1", "2001:db8::7", "::ffff:192.0.2.1"):
            assert status(running, client) == 403, client
        for client in ("192.0.3.0", "2001:db9::"):
            assert status(running, client) == 200, client


def test_nobody_believes_strangers(upstream: FakeEndpoint) -> None:
    policy = {"type": ALLOW, "addresses": ["192.0.2.0/24"]}
    settings = {"trusted_proxies": ["10.0.0.0/8"]}
    with guarded(upstream, policy, gateway=settings) as running:
        assert status(running, "192.0.2.1") == 403
        assert upstream.messages == []


def test_the_refusal_is_told_by_name_and_tells_no_address(upstream: FakeEndpoint) -> None:
    policy = {"type": ALLOW, "name": "office", "addresses": ["192.0.2.0/24"]}
    with guarded(upstream, policy) as running:
        answer = ask(running, headers=["X-Forwarded-For: 198.51.100.9"])
        assert (answer.status, answer.get("content-type")) == (403, "application/problem+json")
        detail = "the client's address is not allowed"
        assert json.loads(answer.body) == {"title": "Forbidden", "status": 403, "detail": detail}
        assert (answer.get("proxy-status") or "").endswith("error=http_request_denied")
        assert answer.get("cache-control") == "no-store"
        head = ask(running, method="HEAD", headers=["X-Forwarded-For: 198.51.100.9"])
        assert (head.status, head.body) == (403, b"")
        entry = running.log(1)[0]
        assert (entry["policy"], entry["client"], entry["error"], entry["detail"]) == (
            "office",
            "198.51.100.9",
            "http_request_denied",
            detail,
        )
        text = ask(running, "/metrics", port=running.ports["admin"]).body.decode()
        assert 'tidegate_policy_answers_total{policy="office",shadow="false"} 2\n' in text
        assert 'tidegate_policy_failures_total{policy="office",shadow="false"} 0\n' in text


def test_a_page_of_ones_own_goes_in_its_place(upstream: FakeEndpoint) -> None:
    policy = {"type": DENY, "addresses": ["0.0.0.0/0"]}
    with guarded(upstream, policy, gateway={"error_pages": {403: "<p>no</p>"}}) as running:
        answer = ask(running, headers=["Accept: text/html"])
        assert (answer.status, answer.body, answer.get("content-type")) == (
            403,
            b"<p>no</p>",
            "text/html; charset=utf-8",
        )


def test_who_is_refused_sends_no_body_and_costs_no_endpoint(upstream: FakeEndpoint) -> None:
    with guarded(upstream, {"type": DENY, "addresses": ["127.0.0.1"]}) as running:
        answer = ask(running, method="POST", headers=["Expect: 100-continue", "Content-Length: 9"])
        assert answer.status == 403
        assert upstream.messages == []


def test_it_is_tried_and_conditional_like_every_policy(upstream: FakeEndpoint) -> None:
    tried = {"type": DENY, "name": "tried", "addresses": ["0.0.0.0/0"], "shadow": True}
    partly = {"type": DENY, "addresses": ["0.0.0.0/0"], "when": 'request.path == "/private"'}
    with guarded(upstream, tried, partly) as running:
        assert (ask(running).status, ask(running, "/private").status) == (200, 403)
        assert running.log(1)[0]["would_answer"] == {"tried": "403"}
    text = json.dumps(configuration("127.0.0.1:1", partly, gateway={}))
    told = decide(text, "GET http://a/private")
    assert (told["outcome"], told["status"], told["by"]) == ("respond", 403, "policy")
    assert told["policies"][0]["effect"] == "answers"


def listing(folder: Path, networks: str) -> Path:
    (folder / "blocked.txt").write_text(networks)
    policy = {"type": DENY, "file": "${file:blocked.txt}"}
    # A file is read by the rules for files: no port is chosen by the kernel.
    file = folder / "tidegate.yaml"
    text = configuration("127.0.0.1:1", gateway={"policies": [policy]})
    text["listeners"]["web"]["port"] = free_port()
    text["routes"][0]["to"] = {"respond": 204}
    file.write_text(json.dumps(text))
    return file


def test_a_file_is_watched_and_read_again(tmp_path: Path) -> None:
    file = listing(tmp_path, "127.0.0.1\n")
    loaded = load(file)
    assert tmp_path / "blocked.txt" in loaded.files
    with gateway(file) as running:
        assert ask(running).status == 403
        (tmp_path / "blocked.txt").write_text("# nobody\n")
        running.reload(file)
        assert ask(running).status == 204
        (tmp_path / "blocked.txt").write_text("127.0.0.0/8\n127.0.0.1/8\n")
        with pytest.raises(ConfigError, match=r"line 2: `127.0.0.1/8` has bits set"):
            running.reload(file)
        # The old one stays.
        assert ask(running).status == 204


def test_a_hundred_thousand_networks_are_looked_up(tmp_path: Path) -> None:
    networks = [
        f"{20 + number // 65536}.{number // 256 % 256}.{number % 256}.64/26" for number in range(100_000)
    ]
    file = listing(tmp_path, "\n".join(networks))
    text = json.loads(file.read_text())
    text["gateway"]["trusted_proxies"] = ["127.0.0.1"]
    file.write_text(json.dumps(text))
    with gateway(file) as running:
        for client, expected in (
            ("20.0.0.64", 403),
            ("20.0.0.63", 204),
            ("20.0.0.128", 204),
            ("21.134.159.127", 403),
            ("21.134.160.64", 204),
            ("19.255.255.255", 204),
            ("255.255.255.255", 204),
            ("2001:db8::1", 204),
        ):
            assert status(running, client) == expected, client
