# SPDX-License-Identifier: Apache-2.0
"""`tidegate hash-password`: what is written in the place of a user's password."""

from __future__ import annotations

import base64
import hashlib
import os
import sys
from typing import Final

from tidegate.cli.codes import USAGE, stop

ITERATIONS: Final = 600_000
_SALT: Final = 16


def hashed(password: str, iterations: int = ITERATIONS) -> str:
    """The hash of a password as `forward.users` takes it: PBKDF2 with HMAC-SHA-256 (RFC 8018).

    Args:
        iterations: From 1,000: more make it dearer to guess, and to check.
    """
    salt = os.urandom(_SALT)
    digest = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    texts = [base64.b64encode(each).decode().rstrip("=") for each in (salt, digest)]
    return f"$pbkdf2-sha256$i={iterations}${texts[0]}${texts[1]}"


def hash_password() -> None:
    """Asks for a password, or reads a line of what is piped in, and prints its hash."""
    if sys.stdin.isatty():
        from getpass import getpass

        password = getpass("Password: ")
        if getpass("Again: ") != password:
            stop("the two are not alike", USAGE)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        stop("an empty password keeps nobody out; type one, or pipe it in", USAGE)
    print(hashed(password))
