# SPDX-License-Identifier: Apache-2.0
"""Hashes of passwords that a node can check."""

from __future__ import annotations

import re
from typing import Final

_PBKDF2 = re.compile(r"\$pbkdf2-sha256\$i=([0-9]{4,8})\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{43}")
_ARGON2 = re.compile(
    r"\$argon2id\$v=19\$m=([0-9]{1,6}),t=([0-9]{1,3}),p=([0-9]{1,2})\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{43}"
)
_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[A-Za-z0-9./]{53}")
LEAST_ITERATIONS: Final = 1_000
MOST_ITERATIONS: Final = 10_000_000
MOST_MEMORY: Final = 262_144
"""KiB that checking a password may take."""
COSTS: Final = range(4, 16)
"""Of bcrypt."""


def is_hash(text: str) -> bool:
    """Whether a text is a password's hash that a node can check without being kept from its work."""
    found = _PBKDF2.fullmatch(text)
    if found is not None:
        return LEAST_ITERATIONS <= int(found[1]) <= MOST_ITERATIONS
    found = _BCRYPT.fullmatch(text)
    if found is not None:
        return int(found[1]) in COSTS
    found = _ARGON2.fullmatch(text)
    if found is None:
        return False
    memory, passes, lanes = map(int, found.groups())
    return 8 * lanes <= memory <= MOST_MEMORY and 1 <= passes <= 100 and 1 <= lanes <= 16
