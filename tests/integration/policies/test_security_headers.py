# SPDX-License-Identifier: Apache-2.0
"""`security_headers`: what browsers are told of every response, whoever made it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.integration.settings.kit import ask
from tests.ports import free_port
from tidegate.testing import Message, Reply, endpoint, gateway

NAMES = {
    "content_type_options": ("x-content-type-options", "nosniff"),
    "frame_options": ("x-frame-options", "SAMEORIGIN"),
    "referrer_policy": ("referrer-policy", "strict-origin-when-cross-origin"),
    "opener_policy": ("cross-origin-opener-policy", "same-origin-allow-popups"),
    "resource_policy": ("cross-origin-resource-policy", "same-site"),
    "permissions_policy": ("permissions-policy", None),
    "content_security_policy": ("content-security-policy", None),
    "content_security_policy_report_only": ("content-security-policy-report-only", None),
}
OTHERS = {
    "content_type_options": "nosniff",
    "frame_options": "DENY",
    "referrer_policy": "no-referrer",
    "opener_policy": "same-origin",
    "resource_policy": "cross-origin",
    "permissions_policy": "camera=(), geolocation=(self)",
    "content_security_policy": "default-src 'self'; frame-ancestors 'none'",
    "content_security_policy_report_only": "script-src 'none'",
}


def told(answer: Message) -> dict[str, str]:
    """What an answer says of it, each once."""
    found = {setting: answer.all(name) for setting, (name, _) in NAMES.items()}
    assert all(len(values) < 2 for values in found.values()), found
    return {setting: values[0] for setting, values in found.items() if values}


def text(
    address: str, settings: Mapping[str, object] | None = None, more: Sequence[dict[str, Any]] = ()
) -> str:
    policy = {"type": "security_headers", **(settings or {})}
    whole = {
        "gateway": {"policies": [policy]},
        "listeners": {"web": {"port": 0}},
        "routes": [{"path": "/", "to": f"http://{address}"}, *more],
    }
    return json.dumps(whole)


DEFAULTS = {setting: value for setting, (_, value) in NAMES.items() if value is not None}


def test_every_response_has_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("p {}")
    gone = f"http://127.0.0.1:{free_port()}"
    more = (
        {"path": "/gone", "to": gone},
        {"path": "/files", "to": {"files": str(tmp_path)}},
        {"path": "/here", "to": {"respond": 204}},
        {"path": "/away", "to": {"redirect": {"path": "/"}}},
        {"path": "/denied", "to": gone, "policies": [{"type": "ip_deny", "addresses": ["0.0.0.0/0"]}]},
        {"path": "/rest", "to": gone, "maintenance": True},
    )
    with endpoint() as upstream, gateway(text(upstream.address, more=more)) as running:
        for target, status in {
            "/": 200, "/gone": 502, "/files/a.css": 200, "/files/b": 404, "/here": 204, "/away": 302,
            "/denied": 403, "/rest": 503,
        }.items():  # fmt: skip
            answer = ask(running, target)
            assert (answer.status, told(answer)) == (status, DEFAULTS), target


def test_who_has_no_route_is_told_as_well() -> None:
    policy = {"type": "security_headers"}
    whole = {
        "gateway": {"policies": [policy], "error_pages": {404: "<p>not here</p>"}},
        "listeners": {"web": {"port": 0}},
        "routes": [{"path": "/a", "to": {"respond": 204}}],
    }
    with gateway(json.dumps(whole)) as running:
        answer = ask(running, "/b")
        assert (answer.status, answer.body, told(answer)) == (404, b"<p>not here</p>", DEFAULTS)


@pytest.mark.parametrize("setting", list(NAMES))
def test_each_is_changed_and_left_out_by_itself(setting: str) -> None:
    with endpoint() as upstream:
        with gateway(text(upstream.address, {setting: OTHERS[setting]})) as running:
            assert told(ask(running)) == DEFAULTS | {setting: OTHERS[setting]}
        with gateway(text(upstream.address, {setting: None})) as running:
            assert told(ask(running)) == {key: value for key, value in DEFAULTS.items() if key != setting}


@pytest.mark.parametrize("replace", [False, True])
def test_what_the_endpoint_says_stays_unless_it_is_replaced(replace: bool) -> None:
    own = {"frame_options": "DENY", "content_security_policy": "default-src *"}
    fields = [(NAMES[setting][0].title(), value) for setting, value in own.items()]
    csp = {"content_security_policy": "default-src 'self'"}
    with (
        endpoint(Reply(headers=fields)) as upstream,
        gateway(text(upstream.address, {"replace": replace, **csp})) as running,
    ):
        assert told(ask(running)) == (DEFAULTS | csp if replace else DEFAULTS | own)


def test_a_condition_may_ask_about_the_response() -> None:
    gone = ({"path": "/gone", "to": f"http://127.0.0.1:{free_port()}"},)
    with (
        endpoint() as upstream,
        gateway(text(upstream.address, {"when": "response.status >= 500"}, gone)) as running,
    ):
        assert (told(ask(running)), told(ask(running, "/gone"))) == ({}, DEFAULTS)


def test_a_failure_has_none_that_are_only_tried() -> None:
    with gateway(text(f"127.0.0.1:{free_port()}", {"shadow": True})) as running:
        answer = ask(running)
        assert (answer.status, told(answer)) == (502, {})
