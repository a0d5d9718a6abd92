# SPDX-License-Identifier: Apache-2.0
"""What is done about an authority's answers, in the place of one that gives them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tidegate.issuing import ordering
from tidegate.issuing.client import AuthorityError, Order
from tidegate.issuing.ordering import Orderer, Terms
from tidegate.issuing.store import Store, identifier

NAMES = ("shop.test",)
TERMS = Terms("https://authority.test/dir", [], None, None, "ecdsa_p256", ["http-01", "tls-alpn-01"])
ID = identifier(TERMS.authority, NAMES)


class Authority:
    """Signs with a development authority, and does what a test says before each step."""

    def __init__(self) -> None:
        from tidegate import _engine

        self.now = 1_800_000_000.0
        self.asked: list[str] = []
        self.kinds: list[list[str]] = []
        self.fails: dict[str, list[AuthorityError]] = {}
        self.signs_for = list(NAMES)
        _, self._key = _engine.development_authority(0, 4_000_000_000)

    def __call__(self, roots: str | None, version: str) -> Authority:
        return self

    def _step(self, name: str) -> None:
        self.asked.append(name)
        failures = self.fails.get(name)
        if failures:
            raise failures.pop(0)

    def open_account(self, *_: Any) -> str:
        self._step("open_account")
        return "credentials"

    def begin(self, _credentials: str, _names: list[str], replaces: str) -> Order:
        self._step("replace" if replaces else "begin")
        offered = [(NAMES[0], kind, f"token-{kind}", "answer", b"\0" * 32) for kind in TERMS.challenges]
        return Order("https://authority.test/order", offered)

    def resume(self, _credentials: str, url: str) -> Order:
        self._step("resume")
        return Order(url, [])

    def finish(self, _c: str, _o: Order, kinds: list[str], names: list[str], key: str, _p: float) -> str:
        from tidegate import _engine

        self._step("finish")
        self.kinds.append(kinds)
        self.key = key
        made = _engine.development_certificate(self._key, self.signs_for, int(self.now), int(self.now) + 90)
        return made[0]


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch) -> Authority:
    found = Authority()
    monkeypatch.setattr(ordering, "Client", found)
    # The development authority makes keys of its own.
    monkeypatch.setattr("tidegate._engine.certificate_problem", lambda _cert, _key: None)
    return found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.close()


def orderer(authority: Authority, holder: str = "one") -> Orderer:
    return Orderer(TERMS, holder, "0", lambda _store, _version: None, lambda: authority.now, threading.Lock())


def order(store: Store, authority: Authority, holder: str = "one") -> str:
    outcome = orderer(authority, holder).order(
        store, NAMES, lambda store: store.attempt(ID).next_at <= authority.now
    )
    return "made" if outcome.made is not None else outcome.says or "nothing"


def test_an_order_has_its_steps_and_an_account_is_opened_once(store: Store, authority: Authority) -> None:
    assert order(store, authority) == "made"
    assert authority.asked == ["open_account", "begin", "finish"]
    (kept,) = store.certificates(TERMS.authority)
    assert kept.key == authority.key and kept.names == NAMES
    store.renew_soon(ID)
    assert order(store, authority) == "made"
    assert authority.asked[3:] == ["replace", "finish"]


def test_a_limit_is_kept_to_over_a_restart(store: Store, authority: Authority) -> None:
    limit = AuthorityError("rateLimited", "too many certificates", retry_after=7200)
    authority.fails = {"begin": [limit]}
    assert order(store, authority) == "too many certificates"
    authority.now += 7000
    assert order(store, authority, "another") == "nothing"
    assert authority.asked.count("begin") == 1
    authority.now += 1000
    assert order(store, authority) == "made"


def test_the_way_of_proof_changes_with_each_failure(store: Store, authority: Authority) -> None:
    wrong = AuthorityError("unauthorized", "wrong", (("shop.test", "unauthorized", "404"),))
    authority.fails = {"finish": [wrong]}
    assert "404" in order(store, authority)
    assert store.pending(ID) is None and store.proofs(0)[1] == []
    authority.now += 3600
    assert order(store, authority) == "made"
    assert authority.kinds == [["tls-alpn-01", "http-01"]]


def test_who_crashes_goes_on_with_the_order_and_its_key(store: Store, authority: Authority) -> None:
    authority.fails = {"finish": [AuthorityError("unreachable", "cut")]}
    assert order(store, authority) == "cut"
    pending = store.pending(ID)
    assert pending is not None
    authority.now += 3600
    assert order(store, authority, "another") == "made"
    assert authority.asked[-2:] == ["resume", "finish"] and authority.key == pending[1]


def test_an_order_that_is_over_is_begun_anew(store: Store, authority: Authority) -> None:
    authority.fails = {
        "finish": [AuthorityError("timeout", "slow")],
        "resume": [AuthorityError("unusable", "over")],
    }
    order(store, authority)
    authority.now += 3600
    assert order(store, authority) == "made"
    assert authority.asked[-3:] == ["resume", "begin", "finish"]


def test_what_can_not_be_replaced_is_ordered_as_new(store: Store, authority: Authority) -> None:
    assert order(store, authority) == "made"
    store.renew_soon(ID)
    authority.fails = {"replace": [AuthorityError("alreadyReplaced", "no")]}
    assert order(store, authority) == "made"
    assert authority.asked[-3:] == ["replace", "begin", "finish"]


def test_an_account_that_is_gone_is_opened_anew(store: Store, authority: Authority) -> None:
    assert order(store, authority) == "made"
    store.renew_soon(ID)
    gone = [AuthorityError("accountDoesNotExist", "who?") for _ in range(2)]
    authority.fails = {"replace": gone[:1], "begin": gone[1:]}
    assert order(store, authority) == "who?"
    authority.now += 3600
    assert order(store, authority) == "made"
    assert authority.asked.count("open_account") == 2


@pytest.mark.parametrize(("ahead", "names", "says"), [(200, NAMES, "clock"), (0, ("a.test",), "a.test")])
def test_what_was_signed_is_looked_at(
    store: Store,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    ahead: int,
    names: tuple[str, ...],
    says: str,
) -> None:
    authority.signs_for = list(names)
    finish = authority.finish

    def slowly(*given: Any) -> str:
        made = finish(*given)
        authority.now += ahead
        return made

    monkeypatch.setattr(authority, "finish", slowly)
    assert says in order(store, authority)
    assert store.certificates(TERMS.authority) == []


def test_another_who_orders_the_same_is_left_to_it(store: Store, authority: Authority) -> None:
    assert store.take(ID, "another", authority.now, 60.0) is not None
    assert order(store, authority) == "nothing"
    assert authority.asked == []
    authority.now += 61
    assert order(store, authority) == "made"
