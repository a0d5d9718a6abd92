# SPDX-License-Identifier: Apache-2.0
"""Who may use a forward proxy, and what each may take."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from cryptography.x509 import DNSName

from tests.integration.forward.kit import (
    HASH,
    PASSWORD,
    Origin,
    ask,
    curl,
    hashed,
    loopback,
    proxy,
    status,
    tunnel,
)
from tests.integration.l4.kit import Server, read_all, wait_for
from tests.integration.tls.authority import Authority
from tests.integration.tls.people import People
from tidegate import ConfigError
from tidegate.testing import decide


def basic(name: str, password: str) -> str:
    """The field of these credentials."""
    text = base64.b64encode(f"{name}:{password}".encode()).decode()
    return f"Proxy-Authorization: Basic {text}"


ANNA = basic("anna", PASSWORD)


def test_a_password_by_its_hash() -> None:
    users = [{"name": "anna", "password": HASH}, {"name": "ben", "password": hashed("b", 1_000)}]
    with Origin() as origin, proxy(origin, users=users) as running:
        url = f"http://{origin.authority}/"
        assert status(curl(running, url)) == (0, 407)
        assert status(curl(running, "-U", f"anna:{PASSWORD}", url)) == (0, 200)
        for wrong in ("anna:wrong", "anna:", "carl:b", "ben:" + PASSWORD, ":", f"Anna:{PASSWORD}"):
            assert status(curl(running, "-U", wrong, url)) == (0, 407), wrong
        for field in ("Proxy-Authorization: Bearer x", "Proxy-Authorization: Basic !", ANNA + "\r\n" + ANNA):
            assert ask(running, url, field)[0] == 407, field
        assert len(origin.asked) >= 1
        assert not any(asked.get("proxy-authorization") for asked in origin.asked)
        log = running.log(3)
        assert "user" not in log[0] and log[1]["user"] == "anna"
        assert PASSWORD not in json.dumps(log) and ANNA not in json.dumps(log)
        answer = curl(running, "-D", "-", url)
        assert 'Proxy-Authenticate: Basic realm="proxy", charset="UTF-8"' in answer.stdout


def test_a_client_of_another_language() -> None:
    users = [{"name": "anna", "password": HASH}]
    with Origin() as origin, proxy(origin, users=users) as running:
        own = (
            f"http://anna:{PASSWORD.replace(' ', '%20').replace(':', '%3A')}@127.0.0.1:{running.ports['out']}"
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": own}))
        with opener.open(f"http://{origin.authority}/py", timeout=30) as answer:
            assert answer.read() == b"GET /py HTTP/1.1"
        assert (
            origin.asked[0].get("connection") is None and origin.asked[0].get("proxy-authorization") is None
        )


def test_tunnels_need_credentials_as_well() -> None:
    with Server() as server:
        rule = {"addresses": "127.0.0.1", "ports": int(server.address.rpartition(":")[2])}
        with proxy(users=[{"name": "anna", "password": HASH}], allow=[rule]) as running:
            assert ask(running, server.address, method="CONNECT")[0] == 407
            with tunnel(running, server.address, ANNA) as connection:
                connection.sendall(b"x")
                connection.shutdown(1)
                assert read_all(connection) == b"x"
            assert not server.connections[1:]


def test_a_certificate_tells_who_asks(authority: Authority, tmp_path: Path) -> None:
    people = People(tmp_path)
    anna = people.person("anna", DNSName("anna.example"))
    ben = people.person("ben", DNSName("ben.example"))
    pair = authority.pair("localhost")
    listener = pair.listener()
    listener["tls"]["client_certificates"] = {"ca": str(people.file), "mode": "optional"}  # type: ignore[index]
    listener |= {"address": "127.0.0.1", "protocol": "forward"}
    users = [{"name": "anna", "certificate": "anna.example"}]
    with Origin() as origin, proxy(origin, listener=listener, users=users) as running:
        url = f"http://{origin.authority}/"
        for person, told in ((anna, 200), (ben, 403), (None, 403)):
            own = [] if person is None else ["--proxy-cert", str(person.file)]
            answer = curl(
                running, "--proxy-cacert", str(authority.file), *own, url, scheme="https", host="localhost"
            )
            assert status(answer) == (0, told), answer
        assert running.log(1)[0]["user"] == "anna"
        assert not any("cert" in name.lower() for name, _ in origin.asked[0].fields)


def test_addresses_tell_who_asks_and_each_has_its_own_rules() -> None:
    with Origin() as first, Origin() as second:
        users = [
            {"name": "near", "clients": "127.0.0.1"},
            {"name": "far", "clients": "127.0.0.2", "allow": loopback(second)},
            {"name": "odd", "clients": "127.0.0.3", "deny": f"127.0.0.1:{first.port}"},
        ]
        with proxy(first, second, users=users) as running:
            expected = {1: (200, 200), 2: (403, 200), 3: (403, 200), 4: (403, 403)}
            for number, told in expected.items():
                for origin, code in zip((first, second), told, strict=True):
                    answer = curl(running, "--interface", f"127.0.0.{number}", f"http://{origin.authority}/")
                    assert status(answer) == (0, code), (number, answer)
            assert {asked.client[0] for asked in first.asked + second.asked} == {"127.0.0.1"}
            names = [entry.get("user") for entry in running.log(8)]
            assert names == ["near", "near", "far", "far", "odd", "odd", None, None]


def test_a_user_takes_what_he_may() -> None:
    with Server() as server, Origin() as origin:
        rules = [{"addresses": "127.0.0.1", "ports": [int(server.address.rpartition(":")[2]), origin.port]}]
        users = [
            {"name": "anna", "password": HASH, "limits": {"connections": 1}},
            {"name": "ben", "clients": "127.0.0.1", "limits": {"rate": 1, "burst": 2, "idle": "300ms"}},
        ]
        with proxy(users=users, allow=rules) as running:
            url = f"http://{origin.authority}/"
            with tunnel(running, server.address, ANNA):
                assert ask(running, url, ANNA)[0] == 429
            wait_for(lambda: ask(running, url, ANNA)[0] == 200)
            with tunnel(running, server.address) as connection:
                # Nothing moves for as long as it may.
                assert read_all(connection) == b""
            told = [ask(running, url)[0] for _ in range(8)]
            assert 429 in told
            metrics = (
                urllib.request.urlopen(f"http://127.0.0.1:{running.ports['admin']}/metrics").read().decode()
            )
            label = '{listener="out",user="anna"}'
            assert f"tidegate_proxy_user_exchanges{label} 0" in metrics
            assert f"tidegate_proxy_user_refused_total{label} " in metrics


def test_circles_are_noticed() -> None:
    with Origin() as origin, proxy(origin, pseudonym="outside") as running:
        assert ask(running, f"http://{origin.authority}/", "Via: 1.0 x, 1.1 outside (c)")[0] == 508
        assert not origin.asked


def test_hashes_are_printed() -> None:
    command = [sys.executable, "-m", "tidegate", "hash-password"]
    told = subprocess.run(command, input="geheim\n", capture_output=True, text=True, check=True, timeout=60)
    text = told.stdout.strip()
    assert text.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    users = [{"name": "anna", "password": text}]
    with Origin() as origin, proxy(origin, users=users) as running:
        assert ask(running, f"http://{origin.authority}/", basic("anna", "geheim"))[0] == 200
        assert ask(running, f"http://{origin.authority}/", basic("anna", "Geheim"))[0] == 407


@pytest.mark.parametrize(
    ("listener", "says"),
    [
        ({"address": "0.0.0.0"}, "everybody who reaches it could use it; write who may, such as `forward: {"),
        ({"forward": {"users": [{"name": "a"}]}}, "nothing tells who this is; write a `password`"),
        ({"forward": {"users": [{"name": "a", "password": "geheim"}]}}, "`password` is no hash of one"),
        (
            {"forward": {"users": [{"name": "a", "certificate": "a.b"}]}},
            "nobody is asked for one; write `tls:",
        ),
        ({"forward": {"allow": [{}]}}, "says nothing; write a host, an address or a port"),
        ({"forward": {"allow": "http://a.example"}}, "`http://a.example` is "),
        ({"forward": {"allow": "10.0.0.1/8"}}, "has bits set behind its prefix; write `10.0.0.0/8`"),
        ({"forward": {"acl": []}}, "write `allow` and `deny`"),
        ({"forward": {"pac": {}}}, "needs either `proxy: host:port`"),
        ({"forward": {"dns": {"resolvers": "dns.example"}}}, "`dns.example` "),
        ({"redirect": "https"}, "`redirect` is for routes; leave it out with `protocol: forward`"),
        ({"protocol": "http", "forward": {}}, "`forward` is for `protocol: forward`"),
    ],
)
def test_mistakes_are_told(listener: dict[str, object], says: str) -> None:
    own = {"address": "127.0.0.1", "port": 3128, "protocol": "forward", **listener}
    with pytest.raises(ConfigError) as caught:
        decide(json.dumps({"listeners": {"out": own}}), "GET http://a.example/")
    assert says in str(caught.value)


def test_routes_are_not_for_a_proxy() -> None:
    out = "{out: {address: 127.0.0.1, port: 1, protocol: forward}}"
    text = f"{{listeners: {out}, routes: [{{path: /, listeners: out, to: {{respond: 200}}}}]}}"
    with pytest.raises(ConfigError, match="`out` is a forward proxy, which takes no routes"):
        decide(text, "GET http://a.example/")
