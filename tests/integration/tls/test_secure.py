# SPDX-License-Identifier: Apache-2.0
"""Keeping clients on HTTPS: the plain listener redirects, and responses say Strict-Transport-Security."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from tests.integration.tls.authority import Authority, Pair
from tests.integration.tls.client import HERE, TIMEOUT, ask, configuration, connect, entries, secured
from tidegate.config.load import loads
from tidegate.config.problem import ConfigError
from tidegate.testing import Reply, RunningGateway, endpoint, gateway

PLAIN = {"port": 60_080, "redirect": "https"}
OWN = {"listeners": ["plain"], "path": "/.well-known/acme-challenge", "to": {"respond": "token"}}


def both(pair: Pair, plain: dict[str, object], *routes: object, **tls: object) -> str:
    listeners = {"web": pair.listener(**tls), "plain": plain}
    return configuration({}, *(routes or (HERE,)), listeners=listeners)


@pytest.fixture
def running(pair: Pair) -> Iterator[RunningGateway]:
    with gateway(both(pair, PLAIN, HERE, OWN)) as running:
        yield running


def plain(running: RunningGateway, text: str) -> tuple[int, dict[str, str], bytes]:
    """Status, fields and body of the answer to what is sent, until the connection ends."""
    place = ("127.0.0.1", running.ports["plain"])
    with socket.create_connection(place, TIMEOUT) as client:
        client.sendall(text.encode())
        client.shutdown(socket.SHUT_WR)
        told = b""
        while piece := client.recv(65_536):
            told += piece
    head, _, body = told.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    return int(lines[0].split()[1]), fields, body


@pytest.mark.parametrize(
    ("target", "host", "place"),
    [
        ("/a/b?x=1&y=%2F", "shop.example", "https://shop.example:PORT/a/b?x=1&y=%2F"),
        ("/", "shop.example:8080", "https://shop.example:PORT/"),
        ("/?", "SHOP.example.", "https://shop.example:PORT/?"),
        ("/", "[2001:DB8::0001]:80", "https://[2001:db8::1]:PORT/"),
        ("/", "127.0.0.1", "https://127.0.0.1:PORT/"),
        ("http://other.example:81/x", "shop.example", "https://other.example:PORT/x"),
        ("//evil.example/x", "shop.example", "https://shop.example:PORT/evil.example/x"),
        ("/%0d%0aSet-Cookie:%20a=b", "shop.example", "https://shop.example:PORT/%0D%0ASet-Cookie:%20a=b"),
    ],
)
def test_the_plain_listener_sends_clients_to_the_same_place_on_https(
    running: RunningGateway, target: str, host: str, place: str
) -> None:
    status, fields, body = plain(running, f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")
    assert (status, body) == (308, b"")
    assert fields["location"] == place.replace("PORT", str(running.ports["web"]))
    assert "strict-transport-security" not in fields


@pytest.mark.parametrize(
    "sent",
    [
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: \r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example/x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: user@a.example\r\n\r\n",
    ],
)
def test_without_a_sound_host_there_is_nowhere_to_go(running: RunningGateway, sent: str) -> None:
    status, fields, _ = plain(running, sent)
    assert status == 400 and "location" not in fields


def test_routes_of_its_own_are_served_and_bodies_are_not_taken_for_requests(running: RunningGateway) -> None:
    path = "/.well-known/acme-challenge/x"
    assert plain(running, f"GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n")[::2] == (200, b"token")
    inner = "GET /inner HTTP/1.1\r\nHost: a.example\r\n\r\n"
    text = f"POST /form HTTP/1.1\r\nHost: a.example\r\nContent-Length: {len(inner)}\r\n\r\n{inner}"
    status, fields, body = plain(running, text)
    assert (status, body, fields["connection"]) == (308, b"", "close")
    # Two requests on one connection are answered one after the other.
    status, _, rest = plain(running, inner * 2)
    assert status == 308 and rest.startswith(b"HTTP/1.1 308 ")


def test_what_is_redirected_is_in_the_log_and_explained(running: RunningGateway) -> None:
    asked: dict[str, object] = {"method": "GET", "url": "http://a.example/x?y", "listener": "plain"}
    told = running.explain(asked)
    port = running.ports["web"]
    assert (told["outcome"], told["status"]) == ("redirect", 308)
    assert told["location"] == f"https://a.example:{port}/x?y"
    assert (
        running.explain({**asked, "url": "http://a.example/.well-known/acme-challenge/x"})["outcome"]
        == "respond"
    )
    plain(running, "GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n")
    [entry] = entries(running, 1, "plain")
    assert entry["status"] == 308 and "error" not in entry


def test_port_and_status_can_be_said(pair: Pair) -> None:
    for redirect, status, place in (
        ({"port": 443}, 308, "https://a.example/"),
        ({"port": 8443, "status": 301}, 301, "https://a.example:8443/"),
    ):
        with gateway(both(pair, {"port": 60_080, "redirect": redirect})) as running:
            told = plain(running, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
            assert (told[0], told[1]["location"]) == (status, place)


def test_every_response_inside_of_tls_says_how_long_https_alone_is_used(
    authority: Authority, pair: Pair
) -> None:
    theirs = Reply(headers=[("Strict-Transport-Security", "max-age=1"), ("strict-transport-security", "x")])
    hsts = {"max_age": "365d", "include_subdomains": True, "preload": True}
    value = b"strict-transport-security: max-age=31536000; includesubdomains; preload\r\n"
    policies = [{"type": "response_headers", "set": {"Strict-Transport-Security": "max-age=2"}}]
    with endpoint(theirs) as upstream:
        routes = [
            {"path": "/there", "to": upstream.url},
            {"path": "/moved", "to": {"redirect": "/x"}},
            {"path": "/own", "to": {"respond": "own"}, "policies": policies},
            {"path": "/closed", "to": upstream.url, "maintenance": True},
        ]
        with gateway(both(pair, PLAIN, *routes, hsts=hsts)) as running:
            with secured(running, authority.client()) as client:
                for path, status in (
                    ("/there", 200),
                    ("/moved", 302),
                    ("/own", 200),
                    ("/none", 404),
                    ("/closed", 503),
                ):
                    head = ask(client, path=path)[0].lower()
                    assert head.startswith(b"http/1.1 %d " % status)
                    assert head.count(b"strict-transport-security") == 1 and value in head
            # Not outside of TLS (RFC 6797 §7.2): to who speaks plain HTTP to the port.
            with connect(running) as bare:
                head = ask(bare)[0].lower()
                assert head.startswith(b"http/1.1 400 ") and b"strict-transport" not in head
            told = running.explain({"method": "GET", "url": "https://localhost/own"})
            assert told["hsts"] == "max-age=31536000; includeSubDomains; preload"
            assert entries(running, 6)


def test_without_the_setting_an_endpoint_says_what_it_likes(authority: Authority, pair: Pair) -> None:
    with endpoint(Reply(headers=[("Strict-Transport-Security", "max-age=7")])) as upstream:
        text = both(pair, PLAIN, {"path": "/", "to": upstream.url})
        with gateway(text) as running, secured(running, authority.client()) as client:
            assert b"Strict-Transport-Security: max-age=7\r\n" in ask(client)[0]


def mistakes(**listeners: object) -> str:
    with pytest.raises(ConfigError) as caught:
        loads(json.dumps({"listeners": listeners, "routes": [HERE]}))
    return "\n".join(problem.message for problem in caught.value.problems)


def test_what_leads_nowhere_is_refused_with_what_to_write(pair: Pair) -> None:
    web, port = pair.listener(), {"port": 8080}
    assert "no listener with `tls`" in mistakes(plain={**port, "redirect": "https"}, web={"port": 81})
    assert "at the ports 8443 and 60443" in mistakes(
        plain={**port, "redirect": "https"}, web=web, other={**web, "port": 8443}
    )
    assert "speaks https already" in mistakes(web={**web, "redirect": "https"})
    assert "must be `https`" in mistakes(plain={**port, "redirect": "http"}, web=web)
    assert "must be `https`" in mistakes(plain={**port, "redirect": True}, web=web)
    assert "303 does not" in mistakes(plain={**port, "redirect": {"status": 303}}, web=web)
    assert "every listener redirects" in mistakes(plain={**port, "redirect": {"port": 443}})
    assert "a year at least" in mistakes(web=pair.listener(hsts={"max_age": "365d", "preload": True}))
    assert "a year at least" in mistakes(
        web=pair.listener(hsts={"max_age": "30d", "include_subdomains": True, "preload": True})
    )
    assert "must say for how long" in mistakes(web=pair.listener(hsts=True))
    assert "whole seconds" in mistakes(web=pair.listener(hsts="1500ms"))
