# SPDX-License-Identifier: Apache-2.0
"""`tidegate hash-password`: what is written in the place of a user's password."""

from __future__ import annotations

import os
import sys
from typing import Final

from tidegate.cli.codes import USAGE, stop

_SALT: Final = 16


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
    from tidegate import _engine

    print(_engine.hash_password(password.encode(), os.urandom(_SALT)))
