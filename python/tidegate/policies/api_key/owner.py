# SPDX-License-Identifier: Apache-2.0
"""Whose keys they are."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field, model_validator

from tidegate.config.base import Model, refuse
from tidegate.config.identity import IdentityFacts, Subject
from tidegate.config.marks import Reads, Rule, one_or_more
from tidegate.config.types import Flag
from tidegate.policies.api_key.key import is_whole

_HASH = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


def key_hash(text: str) -> str:
    """The hash of a key, in lower case.

    Raises:
        ValueError: It is none; nothing of the text is said, which may be a key.
    """
    if is_whole(text):
        raise ValueError(
            "is a key itself, which is known to all who read this now; make another one with "
            "`tidegate key new`, and write its hash"
        )
    if not _HASH.fullmatch(text.lower()):
        raise ValueError("is no hash of a key; write what `tidegate key new` or `tidegate key hash` prints")
    return text.lower()


def _moment(value: Any) -> Any:
    """Reads a date, which is its first moment in UTC, or a time with its offset, into seconds since 1970."""
    if value is None:
        return value
    says = "is no time; write a date, `2027-01-31`, or a time with its offset, `2027-01-31T12:00:00Z`"
    if not isinstance(value, str):
        raise refuse(says, "text")
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise refuse(says, "text") from None
    if found.tzinfo is None:
        if len(value) != len("2027-01-31"):
            raise refuse("says no offset; write `Z` behind it for UTC", "text")
        found = found.replace(tzinfo=UTC)
    return max(0, int(found.timestamp()))


_TIME: Final = {"type": "string"}


class ApiKeyHash(Model):
    """A key, of which only the hash is known. A text alone is the hash."""

    short_forms: ClassVar[tuple[Any, ...]] = ({"type": "string"},)

    hash: Annotated[str, Rule(key_hash, "`sha256:` and 64 hexadecimal digits")]
    """As `tidegate key new` prints it: the SHA-256 of the whole key."""
    expires: Annotated[
        Annotated[int, Field(ge=0, le=1 << 53, strict=True)] | None, Reads(_moment, _TIME, only=True)
    ] = None
    """From when on it is refused: a date, which is its first moment in UTC, or a time with its offset. Never
    without it."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"hash": value} if isinstance(value, str) else value


class ApiKeyOwner(IdentityFacts):
    """Who a key tells: what routes, policies and endpoints learn of who calls."""

    subject: Subject
    """Who it is."""
    keys: Annotated[
        list[ApiKeyHash],
        Field(min_length=1, max_length=2),
        Reads(one_or_more, ApiKeyHash, {"type": "string"}),
    ]
    """The key, or two of them while a new one takes the place of an old one."""
    disabled: Flag = False
    """Whether all the owner's keys are refused."""

    elsewhere: ClassVar[dict[str, str]] = {
        "key": "write the hash of the key in `keys`; `tidegate key new` makes both",
        "metadata": "write `claims`",
        "groups": "write `roles`",
        "name": "write `subject`",
        "username": "write `subject`",
        "expires": "write it with its key: `keys: [{ hash: ..., expires: 2027-01-31 }]`",
    }
