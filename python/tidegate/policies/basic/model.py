# SPDX-License-Identifier: Apache-2.0
"""Settings of `basic`."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from tidegate.config.base import refuse
from tidegate.config.identity import IdentityFacts
from tidegate.config.marks import Rule
from tidegate.config.passwords import is_hash
from tidegate.config.policy_settings import PolicySettings
from tidegate.config.secret import Secret
from tidegate.config.types import Duration, Flag, SecretText

_REALM = re.compile(r"[ !#-\[\]-~]{1,100}")
_HINT = "write what `tidegate hash-password` or `htpasswd -nB` prints"


def _name(text: str) -> str:
    if not text.isprintable() or ":" in text or text != text.strip() or not 1 <= len(text) <= 200:
        raise ValueError("a user's name has 1 to 200 printable characters, no `:`, and no blanks at its ends")
    return text


def _realm(text: str) -> str:
    if not _REALM.fullmatch(text):
        raise ValueError('a realm has 1 to 100 printable characters of ASCII, no `"` and no `\\`')
    return text


def _revealed(text: str | Secret | None) -> str:
    if text is None:
        return ""
    return text if isinstance(text, str) else text.reveal()


class BasicUser(IdentityFacts):
    """Somebody with a password."""

    name: Annotated[str, Rule(_name, "1 to 200 printable characters, no `:`")]
    """Who it is."""
    password: SecretText | None = None
    """The password's hash, as `tidegate hash-password` prints it: `${env:ANNA}`. Without it, the user's is in
    `htpasswd`."""

    elsewhere: ClassVar[dict[str, str]] = {
        "username": "write `name`",
        "user": "write `name`",
        "groups": "write `roles`",
        "hash": "write `password`",
    }

    @field_validator("password", mode="after")
    @classmethod
    def _is_hash(cls, password: str | Secret | None) -> str | Secret | None:
        # What could not be read is a mistake already.
        text = _revealed(password).strip()
        if text and not is_hash(text):
            raise refuse(f"is no hash of a password; {_HINT}", "rule")
        return password


class Basic(PolicySettings):
    """Requests show a user's name and password (RFC 7617); others are refused."""

    type: Literal["basic"] = "basic"
    """The room."""
    realm: Annotated[str, Rule(_realm, "text")] = "restricted"
    """What browsers show when they ask for a password."""
    users: list[BasicUser] = Field(default_factory=list)
    """Who is let in."""
    htpasswd: SecretText | None = None
    """More users, a line `NAME:HASH` for each, as `htpasswd -B` writes them: `${file:users.htpasswd}`."""
    forward: Flag = False
    """Whether endpoints get name and password."""
    attempts: Annotated[int, Field(ge=1, le=10_000, strict=True)] = 10
    """How many wrong passwords a client's address (of IPv6 its network of 64 bits) may show within `window`.
    Then it gets a 429 for passwords that are not known to be right; other addresses do not."""
    window: Duration = Duration("1m")
    """How long wrong passwords count, from the first on."""

    elsewhere: ClassVar[dict[str, str]] = {
        "file": "write `htpasswd: ${file:users.htpasswd}`",
        "users_file": "write `htpasswd: ${file:users.htpasswd}`",
        "auth_basic_user_file": "write `htpasswd: ${file:users.htpasswd}`",
        "remove_header": "the field is taken out unless there is `forward: true`",
        "hide_credentials": "the field is taken out unless there is `forward: true`",
    }

    @model_validator(mode="after")
    def _is_whole(self) -> Basic:
        if not self.users and self.htpasswd is None:
            raise refuse("lets nobody in; write `users`, or `htpasswd: ${file:users.htpasswd}`", "rule")
        text = _revealed(self.htpasswd)
        if self.htpasswd is not None and not text and not isinstance(self.htpasswd, str):
            # It could not be read, which is a mistake already.
            return self
        listed = _listed(text)
        if self.htpasswd is not None and not listed and not self.users:
            raise refuse("`htpasswd` has no user", "rule")
        seen: set[str] = set()
        for user in self.users:
            if user.name in seen:
                raise refuse(f"two users are called `{user.name}`", "rule")
            seen.add(user.name)
            if user.password is None and user.name not in listed:
                raise refuse(f"`{user.name}` has no password; {_HINT} as `password`", "rule")
            if user.password is not None and user.name in listed:
                raise refuse(f"`{user.name}` has a password here and one in `htpasswd`; keep one", "rule")
        return self

    def redacted(self) -> tuple[list[str], list[str]]:
        """The field that has the password."""
        return ["authorization"], []


def _listed(text: str) -> set[str]:
    """The users of an htpasswd file. Nothing of a line is said but its number: it may be a password."""
    found: set[str] = set()
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, colon, hashed = line.partition(":")
        try:
            _name(name)
        except ValueError as error:
            raise refuse(f"`htpasswd` line {number}: {error}", "rule") from None
        if not colon or not is_hash(hashed):
            says = "has no hash that is good enough behind its `:`"
            raise refuse(f"`htpasswd` line {number} {says}; {_HINT}", "rule")
        if name in found:
            raise refuse(f"`htpasswd` line {number}: the user is there twice", "rule")
        found.add(name)
    return found
