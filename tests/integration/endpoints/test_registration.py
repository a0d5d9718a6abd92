# SPDX-License-Identifier: Apache-2.0
"""Instances that register themselves, with leases; and those who would like to pass for one."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.integration.supervised import DEADLINE, Supervised, supervised
from tests.ports import free_port
from tidegate.registration import Registration, RegistrationError, authorization, signature
from tidegate.testing import FakeEndpoint, Reply, endpoint, wait_until

from .traffic import Traffic

TOKEN = "a-token-that-nobody-guesses"
TEXT = """
gateway: { admin: { port: ADMIN } }
listeners: { web: { address: 127.0.0.1, port: PORT } }
backends:
  shop:
    balancing: round_robin
    registration: { token: "${file:token}", max_lease: 20s, max_endpoints: 3, networks: [127.0.0.0/8] }
  closed: { endpoints: ["127.0.0.1:1"] }
routes:
  - { path: /, to: shop }
"""


class Site:
    """A gateway where instances register."""

    def __init__(self, gateway: Supervised, admin: int) -> None:
        self.gateway, self.admin = gateway, admin
        self.url = f"http://127.0.0.1:{admin}"

    def addresses(self) -> list[str]:
        """Whom the backend has."""
        told = self.gateway.run("endpoint", "list", "shop", "--json")
        return (
            [each["address"] for each in json.loads(told.stdout)["shop"]] if told.returncode == 0 else ["?"]
        )

    def has(self, *addresses: str) -> bool:
        """Whether these are all."""
        return sorted(self.addresses()) == sorted(addresses)

    def put(self, body: object, path: str = "/endpoints/shop", **changes: Any) -> tuple[int, str]:
        """One signed request, whose parts `changes` replace: `authorization`, `token`, `sent`."""
        data = json.dumps(body).encode()
        credentials = changes.get("authorization") or authorization(changes.get("token", TOKEN), path, data)
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=DEADLINE)
        with contextlib.closing(connection):
            fields = {"Authorization": credentials} if credentials != "none" else {}
            connection.request("PUT", path, changes.get("sent", data), fields)
            answer = connection.getresponse()
            return answer.status, str(json.loads(answer.read()).get("detail", ""))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("registration")
    (folder / "token").write_text(TOKEN + "\n")
    admin = free_port()
    with supervised(folder, TEXT.replace("ADMIN", str(admin))) as gateway:
        yield Site(gateway, admin)


@pytest.fixture
def one() -> Iterator[FakeEndpoint]:
    with endpoint(Reply(body=b"one")) as running:
        yield running


@pytest.fixture
def two() -> Iterator[FakeEndpoint]:
    with endpoint(Reply(body=b"two")) as running:
        yield running


def test_an_instance_is_there_while_it_says_so(site: Site, one: FakeEndpoint, two: FakeEndpoint) -> None:
    with Registration(site.url, "shop", one.address, TOKEN, lease=2):
        assert site.gateway.get() == "one"
        with Traffic(site.gateway.port) as traffic:
            with Registration(site.url, "shop", two.address, TOKEN, lease=2, weight=3, zone="az-1"):
                assert wait_until(partial(traffic.heard, "two"), DEADLINE)
                told = json.loads(site.gateway.run("endpoint", "list", "shop", "--json").stdout)["shop"]
                other = next(each for each in told if each["address"] == two.address)
                assert (other["found_by"], other["weight"], other["zone"]) == ("registration", 3, "az-1")
                # Longer than a lease: it is renewed.
                end = time.monotonic() + 3
                assert wait_until(lambda: time.monotonic() > end, DEADLINE)
                assert site.has(one.address, two.address)
            assert site.has(one.address)
            for _ in range(5):
                assert wait_until(partial(traffic.heard, "one", len(traffic.answers)), DEADLINE)
        assert traffic.lost == []
    assert site.has(one.address), "the last one stays, although it has left"
    with Registration(site.url, "shop", two.address, TOKEN, lease=2):
        assert wait_until(partial(site.has, two.address), DEADLINE), "until another comes"


def test_a_lease_that_is_not_renewed_ends(site: Site, one: FakeEndpoint, two: FakeEndpoint) -> None:
    with Registration(site.url, "shop", two.address, TOKEN):
        assert site.put({"address": one.address, "lease_ms": 1000}) == (200, "")
        assert one.address in site.addresses()
        assert wait_until(partial(site.has, two.address), DEADLINE)
        site.gateway.wait_event(one.address, "was not heard of any more")


def test_leases_outlive_control(site: Site, one: FakeEndpoint, two: FakeEndpoint) -> None:
    with Registration(site.url, "shop", two.address, TOKEN):
        assert site.put({"address": one.address, "lease_ms": 15_000}) == (200, "")
        os.kill(site.gateway.pid("control"), signal.SIGKILL)
        assert {site.gateway.get() for _ in range(8)} == {"one", "two"}
        assert wait_until(partial(site.has, one.address, two.address), DEADLINE)
        assert wait_until(partial(site.has, two.address), DEADLINE), "the one that nobody renews"
    assert site.has(two.address)


def test_a_forged_request_is_refused(site: Site) -> None:
    body = {"address": "127.0.0.1:9", "lease_ms": 5000}
    before = site.addresses()
    data = json.dumps(body).encode()
    now = int(time.time())
    right = authorization(TOKEN, "/endpoints/shop", data)
    nonce = "n" * 20

    def signed(seconds: int, path: str = "/endpoints/shop") -> str:
        proof = signature(TOKEN, path, seconds, nonce, data)
        return f"Tidegate-HMAC-SHA256 time={seconds}, nonce={nonce}, signature={proof}"

    wrong = (401, "the signature is not right")
    assert site.put(body, token="another-token-that-is-wrong") == wrong
    assert site.put(body, authorization="none") == wrong
    assert site.put(body, authorization="Bearer " + TOKEN) == wrong
    assert site.put(body, authorization=right.replace("time=1", "time=2")) == wrong
    assert site.put(body, authorization=right, sent=data.replace(b"127.0.0.1", b"127.0.0.2")) == wrong
    assert site.put(body, "/endpoints/closed", authorization=right) == wrong, "signed for another backend"
    assert site.put(body, "/endpoints/closed") == wrong, "it lets nobody register"
    assert site.put(body, "/endpoints/nobody") == wrong, "and is not told apart from one that is not there"
    for late in (now - 60, now + 60):
        assert site.put(body, authorization=signed(late)) == (401, "the clocks differ by more than 30 s")
    assert site.addresses() == before


def test_a_request_that_was_here_before_is_refused(site: Site, one: FakeEndpoint, two: FakeEndpoint) -> None:
    with Registration(site.url, "shop", two.address, TOKEN):
        body = {"address": one.address, "lease_ms": 5000}
        credentials = authorization(TOKEN, "/endpoints/shop", json.dumps(body).encode())
        assert site.put(body, authorization=credentials) == (200, "")
        assert site.put({"address": one.address, "lease_ms": 0}) == (200, "")
        assert site.put(body, authorization=credentials) == (401, "this request was here before")
        assert site.has(two.address)


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"address": "127.0.0.1:9", "lease_ms": 60_000}, (400, "`lease_ms` is at most 20000 here")),
        ({"address": "127.0.0.1:9", "lease_ms": 1}, (400, "lease_ms: must be 0, or from 1000 to")),
        ({"address": "127.0.0.1:9", "lease_ms": True}, (400, "lease_ms: must be 0")),
        ({"address": "127.0.0.1:9"}, (400, "write `address` and `lease_ms`")),
        ({"address": "nonsense", "lease_ms": 5000}, (403, "register an IP address")),
        ({"address": "127.0.0.1:0", "lease_ms": 5000}, (400, "address: ")),
        ({"address": "10.0.0.1:9", "lease_ms": 5000}, (403, "10.0.0.1 is in none of the backend's networks")),
        ({"address": "shop.test:9", "lease_ms": 5000}, (403, "register an IP address")),
        ({"address": "unix:/run/s", "lease_ms": 5000}, (403, "Unix sockets register with")),
        ({"address": "127.0.0.1:9", "lease_ms": 5000, "source": "x"}, (400, "write `address`")),
        ({"address": "127.0.0.1:9", "lease_ms": 5000, "weight": -1}, (400, "weight: must be at least 0")),
        ([], (400, "write `address`")),
        ("x" * 5000, (400, "write a body of at most 4096 bytes")),
    ],
)
def test_what_makes_no_sense_is_refused(site: Site, body: object, answer: tuple[int, str]) -> None:
    status, detail = site.put(body)
    assert (status, detail[: len(answer[1])]) == answer


def test_no_more_register_than_may(site: Site, two: FakeEndpoint) -> None:
    with Registration(site.url, "shop", two.address, TOKEN):
        # Who was the last before leaves now.
        assert wait_until(partial(site.has, two.address), DEADLINE)
        ports = range(9000, 9003)
        said = [site.put({"address": f"127.0.0.9:{port}", "lease_ms": 1000}) for port in ports]
        assert [status for status, _ in said] == [200, 200, 400]
        assert "3 endpoints are registered, and that is the limit" in said[-1][1]
        assert wait_until(partial(site.has, two.address), DEADLINE)


def test_a_registration_that_is_refused_says_why(site: Site) -> None:
    with (
        pytest.raises(RegistrationError, match="401: the signature is not right"),
        Registration(site.url, "shop", "127.0.0.1:9", "wrong" * 4),
    ):
        pass


def test_the_command_registers_what_it_runs(site: Site, one: FakeEndpoint, two: FakeEndpoint) -> None:
    def command(upstream: FakeEndpoint, *arguments: str) -> "subprocess.Popen[str]":
        words = ["endpoint", "register", "shop", upstream.address, "--lease", "2s", "--", *arguments]
        return subprocess.Popen(
            [sys.executable, "-m", "tidegate", *words], env=site.gateway._environment, text=True
        )

    with Registration(site.url, "shop", two.address, TOKEN):
        both = partial(site.has, one.address, two.address)
        process = command(one, sys.executable, "-c", "import sys; sys.stdin.read()")
        process = _ended(process)
        process = command(one, "sleep", "3600")
        assert wait_until(both, DEADLINE)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 128 + signal.SIGTERM
        assert site.has(two.address), "taken out before the command was told"
        process = command(one, "sleep", "3600")
        assert wait_until(both, DEADLINE)
        process.kill()
        process.wait(DEADLINE)
        assert wait_until(partial(site.has, two.address), DEADLINE), "a lease later"
        process = command(one, "false")
        assert process.wait(DEADLINE) == 1
        refused = site.gateway.run("endpoint", "register", "nobody", "127.0.0.1:9", "--lease", "2s")
        assert refused.returncode == 1
        assert "backend nobody: there is none; there are shop, closed" in refused.stderr


def _ended(process: "subprocess.Popen[str]") -> "subprocess.Popen[str]":
    process.terminate()
    process.wait(DEADLINE)
    return process


def test_the_token_is_in_no_file_but_its_own(site: Site) -> None:
    assert site.put({"address": "127.0.0.1:9", "lease_ms": 0})[0] == 200
    for file in (site.gateway.folder / "run").rglob("*"):
        if file.is_file():
            assert TOKEN.encode() not in file.read_bytes(), file
    assert TOKEN not in site.gateway.log()
