# SPDX-License-Identifier: Apache-2.0
"""Who calls, by a certificate, and what they may."""

from __future__ import annotations

import json
import os
import ssl
import textwrap
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.integration.tls.authority import Authority, Pair
from tests.integration.tls.client import ask, configuration, entries, request, response, secured
from tests.integration.tls.people import People, Person, client
from tidegate import ConfigError
from tidegate.testing import RunningGateway, decide, endpoint, gateway

SPIFFE = x509.UniformResourceIdentifier("spiffe://shop/cart")


@pytest.fixture
def people(tmp_path: Path) -> People:
    return People(tmp_path)


def shop(pair: Pair, people: People, port: str, *policies: Any, mode: str = "optional") -> str:
    clients = {"ca": str(people.file), "mode": mode}
    route = {"name": "r", "path": "/", "to": port, "policies": list(policies)}
    return configuration(pair.listener(client_certificates=clients), route)


def answered(running: RunningGateway, context: ssl.SSLContext, **parts: str) -> tuple[int, dict[str, Any]]:
    """The status, and what a refusal says."""
    with secured(running, context) as connected:
        head, body = ask(connected, **parts)
        status = int(head.split()[1])
        if status == 200:
            return status, {}
        assert b"content-type: application/problem+json" in head.lower()
        return status, json.loads(body)


def test_a_certificate_is_who_calls(authority: Authority, pair: Pair, people: People) -> None:
    def reached(running: RunningGateway, person: Person | None) -> tuple[int, dict[str, Any]]:
        return answered(running, client(authority, person, ssl.TLSVersion.TLSv1_3))

    cart = people.person("cart", x509.DNSName("cart.shop.test"), SPIFFE)
    plain = people.person("plain")
    policies: list[dict[str, Any]] = [
        {"type": "mtls", "names": ["spiffe://shop/*"]},
        {
            "type": "authorize",
            "subjects": ["spiffe://shop/cart"],
            "expression": "connection.tls_version == 'TLSv1.3'",
        },
        {
            "type": "request_headers",
            "set": {"x-known": "1"},
            "when": f"identity.claims.fingerprint == '{cart.fingerprint}'",
        },
    ]
    with endpoint() as upstream, gateway(shop(pair, people, upstream.url, *policies)) as running:
        assert reached(running, cart)[0] == 200
        assert upstream.messages[-1].get("x-known") == "1"
        status, says = reached(running, None)
        assert (status, says["status"], says["title"]) == (403, 403, "Forbidden")
        assert says["detail"] == "a client's certificate is needed"
        status, says = reached(running, plain)
        assert (status, says["detail"]) == (403, "the client's certificate has another name")
        assert len(upstream.messages) == 1
        refused = [entry for entry in entries(running, 3) if entry["status"] == 403]
        assert {entry["error"] for entry in refused} == {"http_request_denied"}
        assert "a client's certificate is needed" in {entry["detail"] for entry in refused}


@pytest.mark.parametrize(
    ("subject", "condition"),
    [
        ("name", "identity.subject == 'cart.shop.test'"),
        ("distinguished_name", "identity.subject.contains('CN=cart')"),
        ("fingerprint", "identity.subject.matches('^[0-9a-f]{64}$')"),
    ],
)
def test_what_of_a_certificate_tells_who_it_is(
    authority: Authority, pair: Pair, people: People, subject: str, condition: str
) -> None:
    person = people.person("cart", x509.DNSName("cart.shop.test"))
    policies = [{"type": "mtls", "subject": subject}, {"type": "authorize", "expression": condition}]
    with endpoint() as upstream, gateway(shop(pair, people, upstream.url, *policies)) as running:
        assert answered(running, client(authority, person, ssl.TLSVersion.TLSv1_3))[0] == 200
        assert answered(running, client(authority, None, ssl.TLSVersion.TLSv1_3))[0] == 403


CODE = """
    import dataclasses
    from tidegate import Request, policy

    @policy
    async def tells(request: Request):
        identity = request.identity
        request.headers["x-who"] = identity.subject if identity else "nobody"

    async def answers(request: Request):
        identity = request.identity
        return dataclasses.asdict(identity) if identity else {}
"""


@pytest.mark.parametrize("is_proved", [True, False])
def test_python_and_the_log_know_who_calls(
    authority: Authority,
    pair: Pair,
    people: People,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_proved: bool,
) -> None:
    if os.geteuid() == 0:
        # The interpreter and the test's folder may be closed to others.
        monkeypatch.setenv("TIDEGATE_USER", "root")
    (tmp_path / "known.py").write_text(textwrap.dedent(CODE))
    person = people.person("cart", x509.DNSName("cart.shop.test"), SPIFFE)
    proof = [{"type": "mtls", "subject": "distinguished_name"}] if is_proved else []
    here = str(tmp_path)
    text = json.loads(shop(pair, people, "http://127.0.0.1:9"))
    text["functions"] = {
        "tells": {"handler": "known:tells", "kind": "policy", "path": here},
        "answers": {"handler": "known:answers", "path": here},
    }
    with endpoint() as upstream:
        text["routes"] = [
            {
                "path": "/policy",
                "to": upstream.url,
                "policies": [*proof, {"type": "python", "function": "tells"}],
            },
            {"path": "/function", "to": {"function": "answers"}, "policies": proof},
        ]
        with gateway(json.dumps(text), processes=True) as running:
            context = client(authority, person, ssl.TLSVersion.TLSv1_3)
            assert answered(running, context, path="/policy")[0] == 200
            with secured(running, context) as connected:
                told = json.loads(ask(connected, path="/function")[1])
            who = upstream.messages[0].get("x-who")
            logged = [entry.get("user") for entry in entries(running, 2)]
    if not is_proved:
        assert (who, told, logged) == ("nobody", {}, [None, None])
        return
    name = "CN=cart,O=Shop\\, Inc."
    assert (who, told.pop("subject"), logged) == (name, name, [name, name])
    assert told["claims"]["names"] == ["dns=cart.shop.test", "uri=spiffe://shop/cart"]
    assert (told["scheme"], told["issuer"], told["roles"], told["scopes"]) == ("mtls", "", [], [])


def test_what_is_only_tried_proves_nothing(authority: Authority, pair: Pair, people: People) -> None:
    policies = [{"type": "mtls", "shadow": True}, {"type": "authorize", "subjects": ["cart.shop.test"]}]
    person = people.person("cart", x509.DNSName("cart.shop.test"))
    with endpoint() as upstream, gateway(shop(pair, people, upstream.url, *policies)) as running:
        status, says = answered(running, client(authority, person, ssl.TLSVersion.TLSv1_3))
        assert (status, says["detail"]) == (403, "who calls is not known")


FORGED = "X-Identity-Subject: root\r\nx_identity_claim_fingerprint: 00\r\nX-IDENTITY-Roles: admin\r\n"


def told_of(message: Any) -> dict[str, str]:
    """The fields of the family that an endpoint got, in lower case, trailers included."""
    found = [(name.decode(), value.decode()) for name, value in (*message.fields, *message.trailers)]
    return {name.lower(): value for name, value in found if "identity" in name.lower()}


def test_endpoints_are_told_who_calls_by_the_gateway_alone(
    authority: Authority, pair: Pair, people: People
) -> None:
    person = people.person("cart", x509.DNSName("cart.shop.test"), SPIFFE)
    policies: list[dict[str, Any]] = [
        {"type": "mtls"},
        {"type": "forward_identity", "fields": ["subject", "scheme"], "claims": ["fingerprint", "names"]},
    ]
    with endpoint() as upstream:
        text = json.loads(shop(pair, people, upstream.url, *policies))
        text["routes"].append({"path": "/open", "to": upstream.url})
        with gateway(json.dumps(text)) as running:
            context = client(authority, person, ssl.TLSVersion.TLSv1_3)
            assert answered(running, context, more=FORGED)[0] == 200
            assert answered(running, context, path="/open", more=FORGED)[0] == 200
            with secured(running, context) as connected:
                chunked = request("/open", method="POST", more="Transfer-Encoding: chunked\r\n" + FORGED)
                connected.sendall(chunked + f"1\r\na\r\n0\r\n{FORGED}X-Other: 1\r\n\r\n".encode())
                assert response(connected)[0].split()[1] == b"200"
        known, unknown, trailed = upstream.messages
    assert told_of(known) == {
        "x-identity-subject": "cart.shop.test",
        "x-identity-scheme": "mtls",
        "x-identity-claim-fingerprint": person.fingerprint,
        "x-identity-claim-names": "dns=cart.shop.test,uri=spiffe://shop/cart",
    }
    assert told_of(unknown) == {} == told_of(trailed)


def test_what_a_trusted_proxy_knows_passes_and_is_replaced(
    authority: Authority, pair: Pair, people: People
) -> None:
    person = people.person("cart", x509.DNSName("cart.shop.test"))
    policies = [{"type": "mtls"}, {"type": "forward_identity", "fields": "subject"}]
    with endpoint() as upstream:
        text = json.loads(shop(pair, people, upstream.url, *policies))
        text["gateway"]["trusted_proxies"] = ["127.0.0.1"]
        text["routes"].append({"path": "/open", "to": upstream.url})
        with gateway(json.dumps(text)) as running:
            context = client(authority, person, ssl.TLSVersion.TLSv1_3)
            for path in ("/", "/open"):
                assert answered(running, context, path=path, more=FORGED)[0] == 200
        own, passed = upstream.messages
    assert told_of(own) == {"x-identity-subject": "cart.shop.test"}
    # Not in a spelling that endpoints may take for another.
    assert told_of(passed) == {"x-identity-subject": "root", "x-identity-roles": "admin"}


def test_without_a_proof_nobody_has_a_role() -> None:
    policy = {"type": "authorize", "roles": ["customer"]}
    text = {
        "listeners": {"web": {"port": 0}},
        "routes": [{"path": "/", "to": "http://127.0.0.1:9", "policies": [policy]}],
    }
    told = decide(json.dumps(text), {"method": "GET", "url": "http://a.test/", "listener": "web"})
    assert (told["outcome"], told["status"], told["kind"]) == ("respond", 403, "http_request_denied")


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ({"type": "authorize"}, "lets everybody in; write `roles`"),
        ({"type": "authorize", "claims": {"age": 7}}, "write an `expression` such as `identity.claims.age"),
        ({"type": "authorize", "expression": "identity.role == 'a'"}, "did you mean `identity.roles`"),
        ({"type": "authorize", "expression": "response.status == 200"}, "response"),
        ({"type": "mtls", "names": ["a b"]}, "is no name in a certificate"),
        ({"type": "mtls", "subject": "cn"}, "subject"),
        ({"type": "forward_identity", "fields": []}, "tells nothing; write `fields` or `claims`"),
        ({"type": "forward_identity", "claims": ["a b"]}, "makes no name of a field"),
        ({"type": "forward_identity", "claims": ["a.b", "a_b"]}, "would be the same field as `a.b`"),
    ],
)
def test_mistakes_are_told(policy: dict[str, Any], says: str) -> None:
    text = {
        "listeners": {"web": {"port": 0}},
        "routes": [{"path": "/", "to": "http://127.0.0.1:9", "policies": [policy]}],
    }
    with pytest.raises(ConfigError) as raised:
        decide(json.dumps(text), {"method": "GET", "url": "http://a.test/", "listener": "web"})
    assert says in str(raised.value)
