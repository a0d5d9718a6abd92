# SPDX-License-Identifier: Apache-2.0
"""A certificate for localhost, signed by an authority of the user's own."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tidegate.issuing.store import state_folder

ALWAYS: Final = ("localhost", "127.0.0.1", "::1")
"""What every certificate is for."""
DAY: Final = 86_400
LEAF_DAYS: Final = 90
LEAF_RENEWED: Final = 30
"""Days before its end from which a certificate is made anew."""
AUTHORITY_DAYS: Final = 730
AUTHORITY_RENEWED: Final = 120
BACKWARD: Final = DAY
"""Seconds that a certificate is good already: clocks of other machines and containers differ."""
VARIABLE: Final = "TIDEGATE_DEV_CERT_DIR"


class DevelopmentError(Exception):
    """There is no certificate; the text says why, and what to do."""


@dataclass(frozen=True)
class Made:
    """A certificate for development.

    Attributes:
        cert: Its file, the certificate alone.
        key: The file of its key.
        authority: The file of the certificate that signed it, for browsers and other clients to trust.
        names: Host names and addresses that it is for.
        not_after: Its last second, since 1970.
        is_new: Whether it was made just now.
        is_authority_new: Whether the authority was, so that nobody trusts it yet.
    """

    cert: Path
    key: Path
    authority: Path
    names: tuple[str, ...]
    not_after: int
    is_new: bool
    is_authority_new: bool


def folder() -> Path:
    """Where authority and certificate are kept.

    `$TIDEGATE_DEV_CERT_DIR`, else `tidegate/development` in `$XDG_DATA_HOME` (`~/.local/share`). For root
    it is `/var/lib/tidegate-development`: what root starts gives its rights up, and sees no home.
    """
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).absolute()
    if os.geteuid() == 0:
        return state_folder().with_name(f"{state_folder().name}-development")
    # The XDG Base Directory Specification: a relative path is to be ignored.
    data = Path(os.environ.get("XDG_DATA_HOME", ""))
    base = data if data.is_absolute() else Path.home() / ".local" / "share"
    return base / "tidegate" / "development"


def may_sign(name: str) -> bool:
    """Whether such an authority is for `name`: loopback addresses, `localhost`, `test`, `internal`,
    `home.arpa`, `local`, and what is under these names.
    """
    from tidegate import _engine

    return _engine.development_may_sign(name)


def ensure(names: Iterable[str] = (), where: Path | None = None, now: float | None = None) -> Made:
    """The certificate for localhost and `names`: the one there is, or a new one where it does not do.

    A new one keeps the names of the one before. Keys have mode 0600, their folder 0700.

    Args:
        names: Host names and addresses.
        where: The folder; `folder()` without it.
        now: Seconds since 1970.

    Raises:
        DevelopmentError: A name is not for development, or the folder can not be used.
    """
    where = where or folder()
    try:
        with _as_owner(where), _held(where):
            return _Workshop(where, int(time.time() if now is None else now)).ensure(tuple(names))
    except OSError as error:
        raise DevelopmentError(
            f"{error.filename or where}: {(error.strerror or str(error)).lower()}; "
            f"certificates for development are kept there, or where {VARIABLE} says"
        ) from error


def give(where: Path, user: int, group: int) -> None:
    """Gives the folder, and what is in it, to whom an instance that root starts becomes.

    Raises:
        OSError: It can not be made, or not be given.
    """
    where.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in (*where.iterdir(), where):
        os.chown(path, user, group, follow_symlinks=False)


@contextmanager
def _as_owner(where: Path) -> Iterator[None]:
    """Root works as whom the folder belongs to: they could else have root write through their links."""
    owner = where.stat() if os.geteuid() == 0 and where.is_dir() else None
    if owner is None or owner.st_uid == 0:
        yield
        return
    group = os.getegid()
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)


@contextmanager
def _held(where: Path) -> Iterator[None]:
    """Two that come at once must not make two authorities."""
    where.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(where, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


class _Workshop:
    def __init__(self, where: Path, now: int) -> None:
        self._where = where
        self._now = now

    def ensure(self, wanted: tuple[str, ...]) -> Made:
        is_authority_new = self._authority()
        cert, key = self._where / "localhost.pem", self._where / "localhost.key"
        before = self._details(cert, key, LEAF_RENEWED)
        had: tuple[str, ...] = () if before is None else tuple(before["names"])
        names = tuple(dict.fromkeys((*ALWAYS, *had, *(name.lower() for name in wanted))))
        is_new = is_authority_new or before is None or before["is_old"] or set(names) != set(had)
        if is_new:
            made = self._signed(names)
            self._put(key, made[1], 0o600)
            self._put(cert, made[0], 0o644)
            before = self._details(cert, key, LEAF_RENEWED)
            assert before is not None
        assert before is not None
        authority = self._where / "ca.pem"
        return Made(cert, key, authority, names, before["not_after"], is_new, is_authority_new)

    def _authority(self) -> bool:
        from tidegate import _engine

        cert, key = self._where / "ca.pem", self._where / "ca.key"
        found = self._details(cert, key, AUTHORITY_RENEWED)
        if found is not None and not found["is_old"]:
            return False
        made = _engine.development_authority(self._now - BACKWARD, self._now + AUTHORITY_DAYS * DAY)
        self._put(key, made[1], 0o600)
        self._put(cert, made[0], 0o644)
        return True

    def _signed(self, names: tuple[str, ...]) -> tuple[str, str]:
        from tidegate import _engine

        key = (self._where / "ca.key").read_text()
        try:
            end = self._now + LEAF_DAYS * DAY
            return _engine.development_certificate(key, list(names), self._now - BACKWARD, end)
        except ValueError as error:
            raise DevelopmentError(str(error)) from error

    def _details(self, cert: Path, key: Path, renewed: int) -> dict[str, Any] | None:
        """What a certificate says; `None` where there is none that its key fits."""
        from tidegate import _engine

        try:
            text, secret = cert.read_text(), key.read_text()
        except (FileNotFoundError, UnicodeDecodeError):
            return None
        found = _engine.certificate_details(text)
        if found is None or _engine.certificate_problem(text, secret) is not None:
            return None
        os.chmod(key, 0o600)
        found["is_old"] = found["not_after"] < self._now + renewed * DAY
        return found

    def _put(self, path: Path, text: str, mode: int) -> None:
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with open(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(aside, path)
