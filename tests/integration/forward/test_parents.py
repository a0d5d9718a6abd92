# SPDX-License-Identifier: Apache-2.0
"""Other proxies that a forward proxy asks."""

from __future__ import annotations

import base64
import json
import socket
from typing import Any

import pytest

from tests.integration.forward.kit import HASH, PASSWORD, Asked, Origin, ask, loopback, proxy, tunnel
from tests.integration.l4.kit import Server, read_all
from tests.integration.tls.authority import Authority
from tests.ports import free_port
from tidegate import ConfigError
from tidegate.testing import RunningGateway, decide

USERS = [{"name": "anna", "password": HASH}]


def parent(address: str, **more: Any) -> dict[str, Any]:
    """Everything goes through the proxy at `address`."""
    return {"backends": {"isp": [address]}, "parents": [{"backend": "isp", **more}]}


def own(running: RunningGateway) -> str:
    """Where a proxy is."""
    return f"127.0.0.1:{running.ports['out']}"


def echoes(connection: socket.socket) -> bool:
    """Whether what is said is said back."""
    connection.sendall(b"hello")
    connection.shutdown(socket.SHUT_WR)
    return read_all(connection) == b"hello"


def test_a_url_goes_to_another_proxy_as_it_is() -> None:
    with Origin() as other:
        terms = parent(other.authority, user="we", password="x:y")
        with proxy(allow=[], via=False, **terms) as running:
            # Nobody here looks the name up.
            told, text = ask(running, "http://nobody.invalid/a?b", "X-Forwarded-For: 1.2.3.4")
            assert (told, text) == (200, "GET http://nobody.invalid/a?b HTTP/1.1")
            (asked,) = other.asked
            shown = base64.b64encode(b"we:x:y").decode()
            assert asked.get("proxy-authorization") == f"Basic {shown}"
            assert asked.get("host") == "nobody.invalid"
            assert {name.lower() for name, _ in asked.fields} == {"host", "proxy-authorization"}
            assert running.log(1)[0]["backend"] == "isp"
            for inside in ("127.0.0.1", "169.254.169.254", "10.0.0.1"):
                assert ask(running, f"http://{inside}/")[0] == 403


def test_tunnels_through_two_proxies_with_credentials() -> None:
    with Server() as server:
        rules = [{"hosts": "*", "ports": int(server.address.rpartition(":")[2]), "addresses": "127.0.0.0/8"}]
        with proxy(allow=rules, users=USERS) as outer:
            terms = parent(own(outer), user="anna", password=PASSWORD)
            with proxy(allow=rules, **terms) as inner, tunnel(inner, server.address) as connection:
                assert echoes(connection)
            assert outer.log(1)[0]["user"] == "anna"
            with proxy(allow=rules, **parent(own(outer), user="anna", password="wrong")) as inner:
                assert ask(inner, server.address, method="CONNECT")[0] == 500
                assert ask(inner, f"http://{server.address}/")[0] == 500
                details = {entry["detail"] for entry in inner.log(2)}
                assert details == {"the parent proxy takes no such credentials"}


def test_hosts_choose_the_proxy_or_none() -> None:
    with Origin() as direct, Origin() as first, Origin() as second:
        backends = {"a": [first.authority], "b": [second.authority]}
        parents = [
            {"hosts": "localhost"},
            {"hosts": ".a.example", "backend": "a"},
            {"backend": "b"},
        ]
        allow = loopback(direct)
        with proxy(allow=allow, backends=backends, parents=parents) as running:
            for url in (f"http://localhost:{direct.port}/", "http://x.a.example/", "http://c.example/"):
                assert ask(running, url)[0] == 200
            assert [len(each.asked) for each in (direct, first, second)] == [1, 1, 1]
            assert direct.asked[0].line == "GET / HTTP/1.1"


def test_a_proxy_inside_of_tls(authority: Authority) -> None:
    listener = {**authority.pair("localhost").listener(), "address": "127.0.0.1", "protocol": "forward"}
    with Server() as server, Origin() as origin:
        ports = [int(server.address.rpartition(":")[2]), origin.port]
        rules = [{"addresses": "127.0.0.0/8", "ports": ports}]
        with proxy(listener=listener, allow=rules) as outer:
            tls = {"ca": str(authority.file), "server_name": "localhost"}
            backends = {"isp": {"endpoints": [own(outer)], "tls": tls}}
            with proxy(allow=rules, backends=backends, parents=[{"backend": "isp"}]) as inner:
                with tunnel(inner, server.address) as connection:
                    assert echoes(connection)
                assert ask(inner, f"http://{origin.authority}/") == (200, "GET / HTTP/1.1")


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 502, "connection_refused"),
        (b"HTTP/1.1 504 Late\r\nContent-Length: 0\r\n\r\n", 504, "connection_timeout"),
        (b"SSH-2.0-x\r\n\r\n", 502, "http_protocol_error"),
        (b"", 504, "http_response_timeout"),
    ],
)
def test_a_proxy_that_opens_no_tunnel(answer: bytes, status: int, error: str) -> None:
    def refuse(asked: Asked) -> bytes:
        return answer

    with Origin(refuse) as other:
        backends = {"isp": {"endpoints": [other.authority], "timeouts": {"first_byte": "500ms"}}}
        with proxy(allow=[], backends=backends, parents=[{"backend": "isp"}]) as running:
            assert ask(running, "a.example:443", method="CONNECT")[0] == status
            assert running.log(1)[0]["error"] == error
            assert other.asked[0].line == "CONNECT a.example:443 HTTP/1.1"


def test_a_proxy_that_is_not_there() -> None:
    with proxy(allow=[], **parent(f"127.0.0.1:{free_port()}")) as running:
        assert ask(running, "a.example:443", method="CONNECT")[0] == 502


@pytest.mark.parametrize(
    ("entry", "backend", "says"),
    [
        ({"backend": "ips"}, {}, "no backend `ips`; did you mean `isp`"),
        ({"backend": "http://a:3128"}, {}, "write the proxies' addresses in section `backends`"),
        ({"backend": "isp", "user": "a"}, {}, "`user` and `password` go together"),
        ({"user": "a", "password": "b"}, {}, "credentials are for other proxies; write `backend`"),
        ({"backend": "isp"}, {"http2": True}, "proxies are asked in HTTP/1.1"),
    ],
)
def test_mistakes_are_told(entry: dict[str, Any], backend: dict[str, Any], says: str) -> None:
    listener = {"address": "127.0.0.1", "port": 3128, "forward": {"parents": [entry]}}
    backends = {"isp": {"endpoints": ["127.0.0.1:1"], **backend}}
    with pytest.raises(ConfigError) as caught:
        decide(json.dumps({"listeners": {"out": listener}, "backends": backends}), "GET http://a.example/")
    assert says in str(caught.value)


def test_explain_names_the_backend() -> None:
    listener = {"address": "127.0.0.1", "port": 3128, "forward": {"parents": [{"backend": "isp"}]}}
    text = json.dumps({"listeners": {"out": listener}, "backends": {"isp": ["127.0.0.1:1"]}})
    decision = decide(text, "GET http://a.example/")
    assert (decision["outcome"], decision["backend"]) == ("proxy", "isp")
