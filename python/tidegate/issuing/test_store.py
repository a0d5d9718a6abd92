# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegate.issuing import schedule
from tidegate.issuing.store import Attempt, Fenced, Kept, Lease, Proof, Store, StoreError, kept

AUTHORITY = "https://authority.test/dir"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()


def lease_of(found: Lease | None) -> Lease:
    assert found is not None
    return found


def certificate(id: str) -> Kept:
    return Kept(id, ("shop.test",), "cert", "key", "issuer", 0, 100, 66, 0)


def test_a_lease_is_one_holders_until_it_ends(store: Store) -> None:
    mine = lease_of(store.take("a", "one", 1000.0, 60.0))
    assert store.take("a", "two", 1059.0, 60.0) is None
    assert store.take("b", "two", 1059.0, 60.0) is not None
    store.hold(mine, 1119.0)
    assert store.take("a", "two", 1100.0, 60.0) is None
    # A holder that crashed blocks nobody, and one that was only slow must not write any more.
    theirs = lease_of(store.take("a", "two", 1120.0, 60.0))
    assert theirs.fence > mine.fence
    for write in (
        lambda: store.hold(mine, 2000.0),
        lambda: store.keep_pending(mine, "url", "key", 0),
        lambda: store.keep_proofs(mine, [], 0),
        lambda: store.keep_attempt(mine, Attempt(1), ends_order=True),
        lambda: store.keep_certificate(mine, AUTHORITY, certificate("a")),
    ):
        with pytest.raises(Fenced):
            write()
    store.release(mine)
    assert store.take("a", "three", 1121.0, 60.0) is None
    store.release(theirs)
    assert store.take("a", "three", 1121.0, 60.0) is not None


def test_a_holder_that_starts_anew_takes_its_lease_back(store: Store) -> None:
    before = lease_of(store.take("a", "one", 1000.0, 60.0))
    after = lease_of(store.take("a", "one", 1001.0, 60.0))
    with pytest.raises(Fenced):
        store.hold(before, 2000.0)
    store.hold(after, 2000.0)


def test_a_clock_that_was_wrong_holds_no_lease_for_ever(store: Store) -> None:
    assert store.take("a", "one", 9_000_000.0, 60.0) is not None
    assert store.take("a", "two", 1000.0, 60.0) is not None


def test_what_leads_to_a_certificate_is_forgotten_with_it(store: Store, tmp_path: Path) -> None:
    lease = lease_of(store.take("a", "one", 1000.0, 60.0))
    store.keep_pending(lease, "url", "key", 0)
    assert store.pending("a") == ("url", "key")
    version = store.keep_proofs(lease, [Proof("shop.test", "token", "answer", "", "")], 5000)
    assert store.proofs(4999) == (version, [Proof("shop.test", "token", "answer", "", "")])
    assert store.proofs(5000) == (version, [])
    store.keep_attempt(lease, Attempt(1, 2000, "dns", "no such name", 1000), ends_order=False)
    assert store.pending("a") is not None and store.attempt("a").says == "no such name"
    store.keep_certificate(lease, AUTHORITY, certificate("a"))
    assert store.pending("a") is None and store.attempt("a") == Attempt()
    assert store.proofs(0) == (version + 2, [])
    assert kept(tmp_path / "store", AUTHORITY) == [certificate("a")]
    assert kept(tmp_path / "store", "https://other.test") == []
    assert "key" not in repr(certificate("a"))


def test_others_are_waited_for_as_long_as_they_live(store: Store) -> None:
    store.seen("one", 3, 1020.0)
    store.seen("two", 2, 1020.0)
    assert store.behind(3, 1000.0) == ["two"]
    assert store.behind(3, 1021.0) == []
    store.gone("two")
    assert store.behind(3, 1000.0) == []


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    where = tmp_path / "store"
    where.mkdir(mode=0o777)
    where.chmod(0o777)
    store = Store(where)
    store.keep_account(AUTHORITY, "", "secret")
    store.path.chmod(0o644)
    store.close()
    Store(where).close()
    assert stat.S_IMODE(where.stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.stat().st_mode) for each in where.iterdir()} == {0o600}


def test_a_store_of_another_version_is_left_alone(tmp_path: Path) -> None:
    Store(tmp_path).close()
    with sqlite3.connect(tmp_path / "acme.sqlite") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StoreError, match="another version"):
        Store(tmp_path)


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"gateway\.acme\.store"):
        Store(tmp_path / "file")
    assert kept(tmp_path / "nowhere", AUTHORITY) == []


def test_waits_grow_and_end(store: Store) -> None:
    attempt, waits = Attempt(), []
    for _ in range(12):
        attempt = schedule.after_failure(attempt, "unauthorized", "no", 0, 1000)
        waits.append(attempt.next_at - 1000)
    assert 300 <= waits[0] <= 330 and 600 <= waits[1] <= 660
    assert 12 * 3600 <= waits[-1] <= 12 * 3600 * 1.1
    # No more than five an hour.
    assert sum(waits[:5]) > 3600
    assert schedule.after_failure(Attempt(), "unreachable", "no", 0, 0).next_at <= 66
    assert schedule.after_failure(Attempt(99), "unreachable", "no", 0, 0).next_at <= 3960
    assert schedule.after_failure(Attempt(), "rateLimited", "no", 0, 0).next_at >= 3600
    assert schedule.after_failure(Attempt(), "rateLimited", "no", 86_400, 0).next_at >= 86_400


def test_renewal_is_in_time_whatever_is_said(store: Store) -> None:
    for _ in range(100):
        assert 60 <= schedule.by_life(0, 90) <= 63
        assert 50 <= schedule.by_window(50, 60, 0, 90) <= 60
        assert schedule.by_window(5000, 6000, 0, 90) == 81
        assert schedule.by_window(60, 50, 0, 90) == 60
