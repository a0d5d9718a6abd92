# SPDX-License-Identifier: Apache-2.0
"""Keys as `tidegate key new` makes them: `PREFIX_`, 32 random characters, and 6 that check the rest.

The prefix tells a scanner for leaked credentials whose key it is, and the check that it is one; a slip of the
pen is refused before any look-up. 32 characters of 62 are 190 bits: nobody guesses them, whatever their hash
costs, so that one SHA-256 is right, and a slow hash would only cost time at each request.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from typing import Final

PREFIX: Final = "tg"
_DIGITS: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM: Final = 32
_CHECK: Final = 6
_PREFIX = re.compile(r"[a-z][a-z0-9_]{0,18}[a-z0-9]|[a-z]", re.ASCII)
LONGEST: Final = 256
"""Bytes of a key, as in `crates/policies/src/api_key`."""


def prefix(text: str) -> str:
    """A prefix: what keys begin with, without the `_` behind it.

    Raises:
        ValueError: It is none.
    """
    if not _PREFIX.fullmatch(text):
        raise ValueError(
            f"`{text[:40]}` is no prefix; use 1 to 20 of `a-z 0-9 _`, a letter first and no `_` last"
        )
    return text


def new_key(prefix: str = PREFIX) -> str:
    """A key that nobody has."""
    text = prefix + "_" + "".join(secrets.choice(_DIGITS) for _ in range(_RANDOM))
    return text + check(text)


def check(text: str) -> str:
    """The six characters behind a key: its CRC-32 in base 62, `0` first."""
    number = zlib.crc32(text.encode())
    digits = ""
    for _ in range(_CHECK):
        number, rest = divmod(number, len(_DIGITS))
        digits = _DIGITS[rest] + digits
    return digits


def is_whole(key: str) -> bool:
    """Whether a key has the form of those that are made here, and its check is right."""
    head, _, body = key.rpartition("_")
    return (
        _PREFIX.fullmatch(head) is not None
        and len(body) == _RANDOM + _CHECK
        and check(key[:-_CHECK]) == key[-_CHECK:]
    )


def hash_of(key: str) -> str:
    """What stands in a configuration for a key."""
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()
