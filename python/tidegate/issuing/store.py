# SPDX-License-Identifier: Apache-2.0
"""What has to be remembered of certificates: one SQLite file, which instances may share.

Its folder has mode 0700 and its files 0600. It is written by a rollback journal with every change synced, so
that it can lie where no memory is shared, and a crash leaves what was before or after. After each change of
an account or certificate a copy is kept beside it, which takes its place should it be damaged.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tidegate.issuing.records import Attempt, Fenced, Kept, Lease, Proof, StoreError

if TYPE_CHECKING:
    from tidegate.config.acme import Acme

FILE: Final = "acme.sqlite"
COPY: Final = "acme.copy.sqlite"
VARIABLE: Final = "TIDEGATE_STATE_DIR"
SYSTEM: Final = Path("/var/lib/tidegate")
_VERSION: Final = 1
_BUSY: Final = 10.0
"""Seconds that one waits for another who writes."""
_SCHEMA: Final = """
CREATE TABLE account (authority TEXT, customer TEXT, credentials TEXT, PRIMARY KEY (authority, customer));
CREATE TABLE certificate (
    id TEXT PRIMARY KEY, authority TEXT, names TEXT, cert TEXT, key TEXT, issuer TEXT, not_before INTEGER,
    not_after INTEGER, renew_at INTEGER, ask_at INTEGER);
CREATE TABLE pending (id TEXT PRIMARY KEY, url TEXT, key TEXT, begun INTEGER);
CREATE TABLE challenge (
    token TEXT PRIMARY KEY, id TEXT, name TEXT, answer TEXT, cert TEXT, key TEXT, version INTEGER,
    ends INTEGER);
CREATE TABLE attempt (
    id TEXT PRIMARY KEY, failures INTEGER, next_at INTEGER, kind TEXT, says TEXT, failed_at INTEGER);
CREATE TABLE lease (id TEXT PRIMARY KEY, holder TEXT, fence INTEGER, ends REAL);
CREATE TABLE instance (holder TEXT PRIMARY KEY, version INTEGER, ends REAL);
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER);
"""


def identifier(authority: str, names: tuple[str, ...]) -> str:
    """What a certificate is called in the store."""
    return f"{','.join(sorted(names))} {authority}"


def state_folder() -> Path:
    """Where state is kept: `$TIDEGATE_STATE_DIR`, `/var/lib/tidegate` for root, else the user's own."""
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given).absolute()
    if os.geteuid() == 0:
        return SYSTEM
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    return (state if state.is_absolute() else Path.home() / ".local/state") / "tidegate"


def folder(acme: Acme, base: Path) -> Path:
    """The folder of the store; `base` is what relative paths start from."""
    return state_folder() / "acme" if acme.store is None else (base / acme.store).absolute()


def kept(where: Path, authority: str) -> list[Kept]:
    """The certificates of an authority; none where there is no store yet.

    Raises:
        StoreError: It can not be read.
    """
    path = where / FILE
    try:
        if not path.exists():
            return []
        mended = Store(where)
    except OSError as error:
        raise StoreError(
            f"{path}: {(error.strerror or str(error)).lower()}; check who may read it"
        ) from error
    with contextlib.closing(mended):
        return mended.certificates(authority)


class Store:
    """The store, opened. May be used from one thread at a time, whichever that is."""

    def __init__(self, where: Path) -> None:
        """Opens it, and makes it where there is none.

        Raises:
            StoreError: It can not be used.
        """
        self.path = where / FILE
        self._where = where
        try:
            where.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Not only when made here: a folder that others can look into was made by hand.
            if where.stat().st_mode & 0o077:
                os.chmod(where, 0o700)
            with self._held():
                self._open()
        except OSError as error:
            raise StoreError(
                f"{error.filename or self.path}: {(error.strerror or str(error)).lower()}; certificates are "
                "kept there, or where `gateway.acme.store` says"
            ) from error

    def close(self) -> None:
        """Closes it."""
        self._database.close()

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """One at a time makes it, or puts the copy in its place."""
        handle = os.open(self._where, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _open(self) -> None:
        try:
            self._connect()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise StoreError(f"{self.path}: {error}; check the disk and who may write there") from error
            self._mend(error)

    def _connect(self) -> None:
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        os.chmod(self.path, 0o600)
        self._database = sqlite3.connect(
            self.path, timeout=_BUSY, isolation_level=None, check_same_thread=False
        )
        try:
            self._database.row_factory = sqlite3.Row
            self._database.execute("PRAGMA synchronous = FULL")
            told = self._database.execute("PRAGMA quick_check(1)").fetchone()[0]
            if told != "ok":
                raise sqlite3.DatabaseError(told)
            version = self._database.execute("PRAGMA user_version").fetchone()[0]
            if version == 0 and (self._where / COPY).exists():
                raise sqlite3.DatabaseError("it is empty")
            if version == 0:
                self._database.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")
            elif version != _VERSION:
                raise StoreError(
                    f"{self.path} is of another version ({version}); use the tidegate that made it, or move "
                    "it away, and certificates are ordered anew"
                )
        except BaseException:
            self._database.close()
            raise

    def _mend(self, damage: sqlite3.DatabaseError) -> None:
        """Puts the copy in the place of a damaged file, which stays beside it."""
        copy, aside = self._where / COPY, self.path.with_suffix(f".damaged-{int(time.time())}")
        if not copy.exists():
            raise StoreError(
                f"{self.path} is damaged ({damage}), and there is no copy of it; move it away, and "
                "certificates are ordered anew"
            ) from damage
        os.replace(self.path, aside)
        for left in ("-journal", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.path}{left}")
        self._written(self.path, copy.read_bytes())
        try:
            self._connect()
        except sqlite3.DatabaseError as error:
            os.replace(aside, self.path)
            raise StoreError(
                f"{self.path} is damaged ({damage}), and so is {copy} ({error}); move both away, and "
                "certificates are ordered anew"
            ) from error
        self.mended = (
            f"{self.path} was damaged ({damage}); its copy is in use, and it is kept as {aside.name}"
        )

    mended = ""
    """What was damaged, if its copy is in use since it was opened."""

    def _written(self, path: Path, content: bytes) -> None:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def _keep_copy(self) -> None:
        """A copy of what was just written, whole at any moment."""
        fresh = self._where / f".{COPY}.{os.getpid()}"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh)
        os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        with contextlib.closing(sqlite3.connect(fresh)) as target:
            self._database.backup(target)
        os.replace(fresh, self._where / COPY)

    @contextlib.contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """A change that is there whole, for everybody, or not at all."""
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}; check the disk and who may write there") from error

    def _rows(self, text: str, *values: Any) -> list[sqlite3.Row]:
        try:
            return self._database.execute(text, values).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}; check the disk and who may read it") from error

    # Accounts and certificates

    def account(self, authority: str, customer: str) -> str | None:
        """The credentials of the account at an authority; of a customer of its, or of nobody (`""`)."""
        found = self._rows(
            "SELECT credentials FROM account WHERE authority = ? AND customer = ?", authority, customer
        )
        return found[0][0] if found else None

    def keep_account(self, authority: str, customer: str, credentials: str | None) -> None:
        """Keeps an account; `None` forgets it."""
        with self._change() as database:
            if credentials is None:
                where = "DELETE FROM account WHERE authority = ? AND customer = ?"
                database.execute(where, (authority, customer))
            else:
                row = (authority, customer, credentials)
                database.execute("INSERT OR REPLACE INTO account VALUES (?, ?, ?)", row)
        self._keep_copy()

    def certificates(self, authority: str) -> list[Kept]:
        """All certificates of an authority."""
        text = (
            "SELECT id, names, cert, key, issuer, not_before, not_after, renew_at, ask_at "
            "FROM certificate WHERE authority = ?"
        )
        return [Kept(row[0], tuple(json.loads(row[1])), *row[2:]) for row in self._rows(text, authority)]

    def keep_certificate(self, lease: Lease, authority: str, made: Kept) -> None:
        """Keeps a certificate, and forgets what led to it.

        Raises:
            Fenced: Somebody else orders it by now.
        """
        with self._change() as database:
            self._check(lease)
            database.execute(
                "INSERT OR REPLACE INTO certificate VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    made.id, authority, json.dumps(made.names), made.cert, made.key, made.issuer,
                    made.not_before, made.not_after, made.renew_at, made.ask_at,
                ),
            )  # fmt: skip
            for table in ("pending", "attempt", "challenge"):
                database.execute(f"DELETE FROM {table} WHERE id = ?", (made.id,))
            _count_proofs(database)
        self._keep_copy()

    def plan(self, id: str, renew_at: int, ask_at: int) -> None:
        """When a certificate is to be renewed, and when the authority is asked for that again."""
        with self._change() as database:
            text = "UPDATE certificate SET renew_at = ?, ask_at = ? WHERE id = ?"
            database.execute(text, (renew_at, ask_at, id))

    # What is under way

    def pending(self, id: str) -> tuple[str, str] | None:
        """Where the order is that was begun, and the key that it is for."""
        found = self._rows("SELECT url, key FROM pending WHERE id = ?", id)
        return (found[0][0], found[0][1]) if found else None

    def keep_pending(self, lease: Lease, url: str, key: str, now: int) -> None:
        """Keeps an order before anything is done for it, so that one who crashes goes on with it.

        Raises:
            Fenced: Somebody else orders it by now.
        """
        with self._change() as database:
            self._check(lease)
            database.execute("INSERT OR REPLACE INTO pending VALUES (?, ?, ?, ?)", (lease.id, url, key, now))

    def attempt(self, id: str) -> Attempt:
        """What came of the last attempts."""
        text = "SELECT failures, next_at, kind, says, failed_at FROM attempt WHERE id = ?"
        found = self._rows(text, id)
        return Attempt(*found[0]) if found else Attempt()

    def keep_attempt(self, lease: Lease, attempt: Attempt, *, ends_order: bool) -> None:
        """Keeps that an attempt came to nothing, and forgets its order where that is over.

        Raises:
            Fenced: Somebody else orders it by now.
        """
        with self._change() as database:
            self._check(lease)
            row = (lease.id, *dataclasses.astuple(attempt))
            database.execute("INSERT OR REPLACE INTO attempt VALUES (?, ?, ?, ?, ?, ?)", row)
            for table in ("pending", "challenge") if ends_order else ("challenge",):
                database.execute(f"DELETE FROM {table} WHERE id = ?", (lease.id,))
            _count_proofs(database)

    def renew_soon(self, id: str) -> None:
        """Has a certificate renewed at once, whatever failed before."""
        with self._change() as database:
            database.execute("UPDATE certificate SET renew_at = 0 WHERE id = ?", (id,))
            database.execute("UPDATE attempt SET next_at = 0 WHERE id = ?", (id,))

    # Proofs, for all instances

    def keep_proofs(self, lease: Lease, proofs: list[Proof], ends: int) -> int:
        """Has every instance answer with these; the version that has to be seen by all.

        Raises:
            Fenced: Somebody else orders it by now.
        """
        with self._change() as database:
            self._check(lease)
            version = _count_proofs(database)
            rows = [
                (each.token, lease.id, each.name, each.answer, each.cert, each.key, version, ends)
                for each in proofs
            ]
            text = "INSERT OR REPLACE INTO challenge VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            database.executemany(text, rows)
        return version

    def proofs(self, now: int) -> tuple[int, list[Proof]]:
        """The version, and all that is to be answered."""
        found = self._rows("SELECT value FROM counter WHERE name = 'proofs'")
        text = "SELECT name, token, answer, cert, key FROM challenge WHERE ends > ?"
        return (found[0][0] if found else 0), [Proof(*row) for row in self._rows(text, now)]

    def seen(self, holder: str, version: int, ends: float) -> None:
        """Says that an instance lives until `ends`, and which proofs its nodes have."""
        with self._change() as database:
            database.execute("INSERT OR REPLACE INTO instance VALUES (?, ?, ?)", (holder, version, ends))
            database.execute("DELETE FROM instance WHERE ends < ?", (ends - 3600,))

    def gone(self, holder: str) -> None:
        """Says that an instance is no more."""
        with self._change() as database:
            database.execute("DELETE FROM instance WHERE holder = ?", (holder,))

    def behind(self, version: int, now: float) -> list[str]:
        """Instances that live and do not have the proofs of `version` yet."""
        text = "SELECT holder FROM instance WHERE ends > ? AND version < ?"
        return [row[0] for row in self._rows(text, now, version)]

    def changes(self) -> int:
        """A number that differs once another connection has changed something."""
        found: int = self._rows("PRAGMA data_version")[0][0]
        return found

    # Leases

    def take(self, id: str, holder: str, now: float, seconds: float) -> Lease | None:
        """The lease for a certificate; `None` while somebody else has it."""
        with self._change() as database:
            found = database.execute("SELECT holder, fence, ends FROM lease WHERE id = ?", (id,)).fetchone()
            # One that ends later than any that is taken now was taken by a clock that went wrong.
            if found is not None and found[0] != holder and now < found[2] <= now + 2 * seconds:
                return None
            fence = (found[1] if found is not None else 0) + 1
            database.execute(
                "INSERT OR REPLACE INTO lease VALUES (?, ?, ?, ?)", (id, holder, fence, now + seconds)
            )
        return Lease(id, holder, fence)

    def hold(self, lease: Lease, until: float) -> None:
        """Holds a lease longer.

        Raises:
            Fenced: Somebody else has it.
        """
        with self._change() as database:
            self._check(lease)
            database.execute("UPDATE lease SET ends = ? WHERE id = ?", (until, lease.id))

    def release(self, lease: Lease) -> None:
        """Gives a lease back; does nothing when somebody else has it."""
        with self._change() as database:
            text = "UPDATE lease SET ends = 0 WHERE id = ? AND holder = ? AND fence = ?"
            database.execute(text, (lease.id, lease.holder, lease.fence))

    def _check(self, lease: Lease) -> None:
        found = self._database.execute("SELECT holder, fence FROM lease WHERE id = ?", (lease.id,)).fetchone()
        if found is None or (found[0], found[1]) != (lease.holder, lease.fence):
            raise Fenced(f"{lease.id}: another instance orders it")


def _count_proofs(database: sqlite3.Connection) -> int:
    """Says that proofs have changed; the version that they have now."""
    counted = "INSERT INTO counter VALUES ('proofs', 1) ON CONFLICT DO UPDATE SET value = value + 1"
    database.execute(counted)
    version: int = database.execute("SELECT value FROM counter WHERE name = 'proofs'").fetchone()[0]
    return version


__all__ = [
    "Attempt",
    "Fenced",
    "Kept",
    "Lease",
    "Proof",
    "Store",
    "StoreError",
    "folder",
    "identifier",
    "kept",
]
