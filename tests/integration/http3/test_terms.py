# SPDX-License-Identifier: Apache-2.0
"""TLS inside of QUIC has the terms that it has outside: names, client certificates, sessions, hosts."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.http3.client import Client, client
from tests.integration.tls import client as tls
from tests.integration.tls.authority import Authority, Pair
from tidegate.testing import RunningGateway, endpoint, gateway

Web = Callable[..., dict[str, Any]]
UNRECOGNIZED_NAME = 0x100 + 112
CERTIFICATE_REQUIRED = 0x100 + 116


def files(pair: Pair) -> dict[str, str]:
    return {"cert": str(pair.cert), "key": str(pair.key)}


def terms(*pairs: Pair, **more: object) -> dict[str, Any]:
    return {"port": 60_443, "http3": True, "tls": {"certificates": [files(pair) for pair in pairs], **more}}


def metric(running: RunningGateway, name: str) -> int:
    with socket.create_connection(("127.0.0.1", running.ports["admin"]), tls.TIMEOUT) as admin:
        admin.sendall(tls.request("/metrics"))
        text = tls.response(admin)[1].decode()
    return next(int(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


def test_a_certificate_is_chosen_by_the_name(authority: Authority) -> None:
    pairs = [authority.pair(name, file=name) for name in ("a.test", "*.b.test")]
    with gateway(tls.configuration(terms(*pairs))) as running:
        for name in ("a.test", "x.b.test"):
            with client(running, authority, name=name) as connected:
                assert connected.ask("/", host=name).body == b"here"
        with pytest.raises(AssertionError, match="no handshake"), client(running, authority, name="c.test"):
            pass


def test_a_name_without_a_certificate_is_refused_where_that_is_wanted(authority: Authority) -> None:
    pair = authority.pair("a.test")
    with gateway(tls.configuration(terms(pair, unknown_name="refuse"))) as running:
        other = Client(running.port, None, name="c.test")
        assert other.wait_for_end() == UNRECOGNIZED_NAME
        other.close()
        assert tls.failed(running, "unknown_name") == 1
        with client(running, authority, name="a.test") as connected:
            assert connected.ask("/", host="a.test").status == 200
            # RFC 9110 §7.4: what would have been refused is not served by another way.
            assert connected.ask("/", host="c.test").status == 421


def test_a_client_shows_its_certificate_and_the_endpoint_is_told(authority: Authority, pair: Pair) -> None:
    people = Authority(authority.folder, "people", "people")
    shown = people.pair("ann", file="ann")
    asked = {"ca": str(people.file), "forward": ["subject"]}
    with endpoint() as upstream:
        listener = terms(pair, client_certificates=asked)
        with gateway(tls.configuration(listener, {"path": "/", "to": upstream.url})) as running:
            with client(running, authority, certificate=shown) as connected:
                assert connected.ask("/", headers=[("x-client-cert-subject", "eve")]).status == 200
            [message] = upstream.wait_for(1)
            nobody = Client(running.port, authority)
            assert nobody.wait_for_end() == CERTIFICATE_REQUIRED
            nobody.close()
            other = Authority(authority.folder, "others", "others").pair("bob", file="bob")
            with pytest.raises(AssertionError), client(running, authority, certificate=other) as connected:
                connected.ask("/")
    assert "ann" in (message.get("x-client-cert-subject") or "")


def test_a_host_with_other_client_certificates_is_misdirected(authority: Authority) -> None:
    people = Authority(authority.folder, "people", "people")
    pair = authority.pair("open.test", "inner.test")
    asked = [{"hosts": ["inner.test"], "ca": str(people.file)}]
    with gateway(tls.configuration(terms(pair, client_certificates=asked))) as running:
        with client(running, authority, name="open.test") as connected:
            assert connected.ask("/", host="open.test").status == 200
            assert connected.ask("/", host="inner.test").status == 421
        shown = people.pair("ann", file="ann")
        with client(running, authority, name="inner.test", certificate=shown) as connected:
            assert connected.ask("/", host="inner.test").status == 200


def test_a_session_is_taken_up_again_and_nothing_comes_before_its_handshake(
    authority: Authority, pair: Pair
) -> None:
    with gateway(tls.configuration(terms(pair))) as running:
        with client(running, authority) as connected:
            assert connected.ask("/").status == 200
            [ticket, *_] = connected.tickets
        assert ticket.max_early_data_size in (None, 0), "no 0-RTT"
        with client(running, authority, ticket=ticket) as connected:
            assert connected.ask("/").status == 200
            assert connected.shaken is not None
            assert connected.shaken.session_resumed
        assert metric(running, 'tidegate_tls_handshakes_total{session="resumed"') == 1


def test_a_client_that_speaks_something_else_inside_is_refused(authority: Authority, pair: Pair) -> None:
    with gateway(tls.configuration(terms(pair))) as running:
        other = Client(running.port, authority, alpn="h2")
        assert other.wait_for_end() == 0x100 + 120, "no_application_protocol"
        other.close()


def test_hsts_is_said(authority: Authority, pair: Pair) -> None:
    text = tls.configuration(terms(pair, hsts="1d"))
    with gateway(text) as running, client(running, authority) as connected:
        assert connected.ask("/").get("strict-transport-security") == "max-age=86400"
