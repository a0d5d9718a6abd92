# SPDX-License-Identifier: Apache-2.0
import re
import threading
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.settings.kit import ask, small
from tests.integration.supervised import supervised
from tidegate.cli.chain import Chain
from tidegate.config.load import loads
from tidegate.config.problem import ConfigError
from tidegate.testing import FakeEndpoint, Message, RunningGateway, Wire, endpoint, wait_until

from .kit import counts, placed

KEY = "keys: [0123456789abcdef0123456789abcdef]"
OUT = "passive_health: { failures: 1, exclude_for: 1h, max_excluded_percent: 99 }"
COOKIE = f"affinity: {{ by: cookie, {KEY} }}, {OUT}"


@pytest.fixture
def trio() -> Iterator[list[FakeEndpoint]]:
    with endpoint() as one, endpoint() as two, endpoint() as three:
        yield [one, two, three]


def value_of(response: Message, name: str = "tidegate") -> str | None:
    told = response.get("set-cookie") or ""
    found = re.match(rf"{name}=([^;]*)", told)
    return found[1] if found else None


class Browser:
    """A client that keeps the one cookie it is given."""

    def __init__(self, running: RunningGateway) -> None:
        self.running = running
        self.cookie: str | None = None
        self.bindings = 0

    def get(self, *headers: str) -> Message:
        own = [f"Cookie: a=b; tidegate={self.cookie}; c=d"] if self.cookie else []
        response = ask(self.running, headers=[*own, *headers])
        assert response.status == 200
        if fresh := value_of(response):
            self.cookie, self.bindings = fresh, self.bindings + 1
        return response


def at(endpoints: list[FakeEndpoint], browser: Browser) -> FakeEndpoint:
    """The endpoint that takes the browser's next request."""
    before = counts(*endpoints)
    browser.get()
    grown = [now - then for now, then in zip(counts(*endpoints), before, strict=True)]
    return endpoints[grown.index(1)]


def test_a_session_stays_until_its_endpoint_dies_and_moves_once(trio: list[FakeEndpoint]) -> None:
    with placed(*((one, "") for one in trio), backend=COOKIE) as running:
        browsers = [Browser(running) for _ in range(9)]
        homes = [at(trio, browser) for browser in browsers]
        assert Counter(map(id, homes)) == {id(one): 3 for one in trio}, "new sessions are balanced"
        for _ in range(3):
            assert [at(trio, browser) for browser in browsers] == homes
        assert [browser.bindings for browser in browsers] == [1] * 9
        trio[0].close()
        rest = trio[1:]
        moved = [at(rest, browser) for browser in browsers]
        for home, now in zip(homes, moved, strict=True):
            assert home is trio[0] or now is home, "who was elsewhere does not move"
        for _ in range(3):
            assert [at(rest, browser) for browser in browsers] == moved
        assert [browser.bindings for browser in browsers] == [2 if home is trio[0] else 1 for home in homes]


def test_the_cookie_has_safe_attributes_and_names_no_address(trio: list[FakeEndpoint]) -> None:
    with placed(*((one, "") for one in trio), backend=COOKIE) as running:
        told = ask(running).get("set-cookie") or ""
        assert re.fullmatch(r"tidegate=[A-Za-z0-9_-]{32}; Path=/; SameSite=Lax; HttpOnly", told)
        assert ask(running).get("set-cookie") != told, "two sessions differ, wherever they are"


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("name: cart", r"cart=.*; Path=/; SameSite=Lax; HttpOnly"),
        ("path: /shop", r"tidegate=.*; Path=/shop; SameSite=Lax; HttpOnly"),
        ("secure: always", r"tidegate=.*; HttpOnly; Secure"),
        ("http_only: false", r"tidegate=.*; SameSite=Lax"),
        ("same_site: strict", r"tidegate=.*; SameSite=Strict; HttpOnly"),
        ("same_site: none", r"tidegate=.*; SameSite=None; HttpOnly"),
        ("max_age: 1h", r"tidegate=.*; Path=/; Max-Age=3600; SameSite=Lax; HttpOnly"),
    ],
)
def test_attributes_are_as_configured(trio: list[FakeEndpoint], setting: str, expected: str) -> None:
    with placed((trio[0], ""), backend=f"affinity: {{ by: cookie, {setting} }}") as running:
        assert re.fullmatch(expected, ask(running).get("set-cookie") or "")


@pytest.mark.parametrize(("secure", "is_secure"), [("auto", True), ("never", False)])
def test_a_cookie_set_over_tls_is_secure(trio: list[FakeEndpoint], secure: str, is_secure: bool) -> None:
    more = f"affinity: {{ by: cookie, secure: {secure} }}"
    over_tls = ["X-Forwarded-Proto: https"]
    with placed((trio[0], ""), backend=more, settings="trusted_proxies: [127.0.0.1]") as running:
        assert ("Secure" in (ask(running, headers=over_tls).get("set-cookie") or "")) is is_secure
        assert "Secure" not in (ask(running).get("set-cookie") or "")
    with placed((trio[0], ""), backend=more) as running:
        told = ask(running, headers=over_tls).get("set-cookie") or ""
        assert "Secure" not in told, "a stranger's word is not believed"


def test_forged_and_foreign_cookies_are_ignored(trio: list[FakeEndpoint]) -> None:
    other = COOKIE.replace("0123", "3210")
    with placed(*((one, "") for one in trio), backend=other) as running:
        foreign = value_of(ask(running))
    with placed(*((one, "") for one in trio), backend=COOKIE) as running:
        good = value_of(ask(running))
        assert good and foreign
        flipped = good[:-1] + ("A" if good[-1] != "A" else "B")
        for forged in (foreign, flipped, good[1:], "x", "", "A" * 32, trio[0].address, good + "A"):
            response = ask(running, headers=[f"Cookie: tidegate={forged}"])
            assert response.status == 200 and value_of(response) not in (None, forged)
        assert value_of(ask(running, headers=[f"Cookie: tidegate={good}"])) is None
        both = ask(running, headers=[f"Cookie: tidegate=x; tidegate={good}"])
        assert value_of(both) is None, "one of another path does not hide ours"


def test_a_cookie_holds_at_every_gateway_with_the_key_and_outlives_a_rotation(
    trio: list[FakeEndpoint],
) -> None:
    places = [(one, "") for one in trio]
    with placed(*places, backend=COOKIE) as running:
        browser = Browser(running)
        home = at(trio, browser)
    both = COOKIE.replace("keys: [", "keys: [another-key-of-more-than-16-characters, ")
    with placed(*reversed(places), backend=both) as running:
        browser.running = running
        assert at(trio, browser) is home
        assert browser.bindings == 2, "the new key takes over"
    fresh = COOKIE.replace("0123456789abcdef0123456789abcdef", "another-key-of-more-than-16-characters")
    with placed(*places, backend=fresh) as running:
        browser.running = running
        assert at(trio, browser) is home and browser.bindings == 2


def test_a_session_stays_at_an_endpoint_that_takes_no_new_ones(trio: list[FakeEndpoint]) -> None:
    one, two, _ = trio

    def text(weight: int) -> str:
        return f"""
listeners: {{ web: {{ port: 0 }} }}
backends:
  b:
    balancing: round_robin
    endpoints: [{{ address: "{one.address}", weight: {weight} }}, "{two.address}"]
    affinity: {{ by: cookie, {KEY} }}
routes: [{{ name: r, path: /, to: b }}]
"""

    with placed((one, ""), (two, "")) as running:
        running.reload(text(1))
        browsers = [Browser(running) for _ in range(4)]
        homes = [at([one, two], browser) for browser in browsers]
        running.reload(text(0))
        assert [at([one, two], browser) for browser in browsers] == homes
        assert {at([one, two], Browser(running)) is two for _ in range(4)} == {True}


def test_a_session_waits_for_room_at_its_endpoint() -> None:
    held = threading.Event()
    with endpoint(delay=held) as one, endpoint(delay=held) as two:
        more = (
            f"affinity: {{ by: cookie, {KEY} }}, limits: {{ connections: 1 }}, timeouts: {{ pending: 20s }}"
        )
        with placed((one, ""), (two, ""), backend=more) as running, ExitStack() as stack:
            first = stack.enter_context(Wire(("127.0.0.1", running.port)))
            first.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET")
            one.wait_for(1)
            held.set()
            assert first.wait_final(1)
            cookie = value_of(first.final_responses[0])
            held.clear()
            wires = [stack.enter_context(Wire(("127.0.0.1", running.port))) for _ in range(3)]
            for wire in wires:
                wire.send(f"GET / HTTP/1.1\r\nHost: a\r\nCookie: tidegate={cookie}\r\n\r\n".encode(), "GET")
            assert wait_until(lambda: len(one.messages) == 2)
            held.set()
            for wire in wires:
                assert wire.wait_final(1) and wire.final_responses[0].status == 200
            assert counts(one, two) == [4, 0]


@pytest.mark.parametrize(
    ("affinity", "header"),
    [("{ by: header, name: X-Tenant }", "X-Tenant"), ("credential", "Authorization")],
)
def test_what_is_alike_goes_to_one_endpoint(trio: list[FakeEndpoint], affinity: str, header: str) -> None:
    with placed(*((one, "") for one in trio), backend=f"affinity: {affinity}, {OUT}") as running:
        homes = {}
        for number in range(30):
            before = counts(*trio)
            for _ in range(2):
                response = ask(running, headers=[f"{header}: tenant-{number}"])
                assert response.status == 200 and response.get("set-cookie") is None
            grown = [now - then for now, then in zip(counts(*trio), before, strict=True)]
            assert sorted(grown) == [0, 0, 2]
            homes[number] = grown.index(2)
        assert set(homes.values()) == {0, 1, 2}
        before = counts(*trio)
        for _ in range(6):
            ask(running)
        assert [now - then for now, then in zip(counts(*trio), before, strict=True)] == [2, 2, 2]
        trio[0].close()
        for number, home in homes.items():
            before = counts(*trio)
            assert ask(running, headers=[f"{header}: tenant-{number}"]).status == 200
            grown = [now - then for now, then in zip(counts(*trio), before, strict=True)]
            assert home == 0 or grown.index(1) == home, "only the sessions of the dead one move"


def token(claims: str) -> str:
    """A JSON Web Token that nobody signed."""
    parts = ('{"alg":"none"}', claims)
    return ".".join([*(urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts), "sig"])


def grown(endpoints: list[FakeEndpoint], running: RunningGateway, authorization: str | None) -> list[int]:
    """How many of two requests each endpoint got."""
    before = counts(*endpoints)
    for _ in range(2):
        headers = [f"Authorization: {authorization}"] if authorization else []
        assert ask(running, headers=headers).status == 200
    return [now - then for now, then in zip(counts(*endpoints), before, strict=True)]


@pytest.mark.parametrize(
    ("affinity", "name"),
    [
        ("claim", "sub"),
        ("{ by: claim, name: 'https://a.test/tenant' }", "https://a.test/tenant"),
    ],
)
def test_tokens_of_one_claim_go_to_one_endpoint(trio: list[FakeEndpoint], affinity: str, name: str) -> None:
    with placed(*((one, "") for one in trio), backend=f"affinity: {affinity}") as running:
        homes = {}
        for number in range(30):
            old = token(f'{{"exp": 1, "{name}": "user-{number}"}}')
            fresh = token(f'{{"{name}": "user-{number}", "exp": 2, "roles": ["a"]}}')
            homes[number] = grown(trio, running, f"Bearer {old}")
            assert sorted(homes[number]) == [0, 0, 2]
            assert grown(trio, running, f"bearer {fresh}") == homes[number], "a renewed token stays"
        assert {of.index(2) for of in homes.values()} == {0, 1, 2}


def test_a_claim_can_be_hashed_by_an_algorithm(trio: list[FakeEndpoint]) -> None:
    with small(*trio, backend="balancing: maglev, hash: { claim: n }") as running:
        tokens = [token(f'{{"n": {number}}}') for number in range(30)]
        homes = [grown(trio, running, f"Bearer {each}") for each in tokens]
        assert all(sorted(home) == [0, 0, 2] for home in homes)
        assert {home.index(2) for home in homes} == {0, 1, 2}


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "Basic YTpi",
        "Bearer opaque",
        "Bearer a.b.c",
        "Bearer " + "." * 4000,
        "Bearer " + token('{"iss": "a"}'),
        "Bearer " + token('{"sub": {"a": 1}}'),
        "Bearer " + token('{"sub": "a", "sub": "b"}'),
        "Bearer " + token('{"sub": ' + "[" * 3000),
    ],
    ids=range(9),
)
def test_without_a_claim_a_request_is_balanced(trio: list[FakeEndpoint], authorization: str | None) -> None:
    with placed(*((one, "") for one in trio), backend="affinity: claim") as running:
        assert all(max(grown(trio, running, authorization)) == 1 for _ in range(3))


def test_an_address_goes_to_one_endpoint(trio: list[FakeEndpoint]) -> None:
    places = [(one, "") for one in trio]
    with placed(*places, backend="affinity: address", settings="trusted_proxies: [127.0.0.1]") as running:
        used = set()
        for number in range(30):
            before = counts(*trio)
            for _ in range(2):
                ask(running, headers=[f"X-Forwarded-For: 192.0.2.{number}"])
            grown = [now - then for now, then in zip(counts(*trio), before, strict=True)]
            assert sorted(grown) == [0, 0, 2]
            used.add(grown.index(2))
        assert used == {0, 1, 2}


@pytest.mark.parametrize("kind", ["cookie", "header", "claim"])
def test_explain_tells_where_a_session_goes(trio: list[FakeEndpoint], kind: str) -> None:
    affinity = {"header": "affinity: { by: header, name: X-Tenant }", "claim": "affinity: claim"}.get(
        kind, COOKIE
    )
    with placed(*((one, "") for one in trio), backend=affinity) as running:
        browser = Browser(running)
        for number in range(12):
            browser.cookie = None if kind == "cookie" else browser.cookie
            bearer = "Bearer " + token(f'{{"sub": {number}}}')
            header = f"X-Tenant: {number}" if kind == "header" else f"Authorization: {bearer}"
            browser.get(header)
            headers = [
                ("X-Tenant", str(number)),
                ("Authorization", bearer),
                ("Cookie", f"tidegate={browser.cookie}"),
            ]
            told = running.explain({"method": "GET", "url": "http://a.test/", "headers": headers})
            before = counts(*trio)
            browser.get(header)
            grown = [now - then for now, then in zip(counts(*trio), before, strict=True)]
            assert told["endpoint"] == trio[grown.index(1)].address
            assert told["backends"][0]["affinity"]["by"] == kind
            lines = "\n".join(Chain(told, lambda *_: "").lines())
            where = f"bound to {told['endpoint']}" if kind == "cookie" else "bound nowhere"
            assert f"by {kind}: {where}" in lines


def test_the_instances_own_key_is_kept_and_private(tmp_path: Path, trio: list[FakeEndpoint]) -> None:
    listed = ", ".join(f'"{one.address}"' for one in trio)
    text = f"""
gateway: {{ threads: 1, zone: a }}
listeners: {{ web: {{ address: 127.0.0.1, port: PORT }} }}
backends: {{ b: {{ endpoints: [{listed}], affinity: cookie }} }}
routes: [{{ path: /, to: b }}]
"""
    with supervised(tmp_path, text.replace("affinity: cookie", "affinity: address")) as running:
        file = tmp_path / "run" / "t" / "affinity.key"
        assert not file.exists(), "a key that nothing needs"
        running.write(text)
        assert running.run("reload", "--name", "t").returncode == 0
        running.wait_event("backend b", "write the same `affinity.keys` for all")
        assert file.stat().st_mode & 0o777 == 0o600
        key = file.read_bytes()
        assert len(key) == 32
        node = running.pid("node")
        import os
        import signal

        os.kill(node, signal.SIGKILL)
        assert wait_until(lambda: running.pid("node") != node)
        assert file.read_bytes() == key


@pytest.mark.parametrize(
    ("affinity", "says"),
    [
        ("{ by: header }", "needs the `name` of the field"),
        ("{ by: address, name: x }", "`name` means nothing to `by: address`"),
        ("{ by: address, max_age: 1h }", "`max_age` means nothing to `by: address`"),
        ("{ by: cookie, keys: [short] }", "at least 16 characters"),
        ("{ by: cookie, same_site: none, secure: never }", "`same_site: none` is ignored"),
        ("identity", "one of"),
        (f"{{ by: claim, name: {'x' * 257} }}", "1 to 256 characters"),
        ("{ by: cookie, name: 'a b' }", "a b"),
        ("{ by: claim, max_age: 1h }", "`max_age` means nothing to `by: claim`"),
    ],
)
def test_a_mistake_is_told_with_its_place(affinity: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loads(
            f'listeners: {{ web: {{ port: 80 }} }}\nbackends:\n  b:\n    endpoints: ["a:1"]\n'
            f"    affinity: {affinity}\nroutes: [{{ path: /, to: b }}]\n"
        )
    assert any(says in str(problem) and problem.line == 5 for problem in caught.value.problems), caught.value


def test_two_backends_need_two_cookies() -> None:
    with pytest.raises(ConfigError, match="the cookie `tidegate` is that of backend `a` too"):
        loads(
            "listeners: { web: { port: 80 } }\n"
            'backends:\n  a: { endpoints: ["a:1"], affinity: cookie }\n'
            '  b: { endpoints: ["b:1"], affinity: cookie }\n'
            "routes: [{ path: /a, to: a }, { path: /b, to: b }]\n"
        )
