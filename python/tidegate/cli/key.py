# SPDX-License-Identifier: Apache-2.0
"""`tidegate key`: keys of API clients, and their hashes."""

from __future__ import annotations

import json
import sys
from typing import NoReturn

from tidegate.cli.codes import USAGE, stop
from tidegate.config.identity import subject
from tidegate.policies.api_key import key


def new(prefix: str, owner: str | None, *, as_json: bool) -> None:
    """Makes a key, and prints it with its hash."""
    try:
        made = key.new_key(key.prefix(prefix))
        whose = None if owner is None else subject(owner)
    except ValueError as error:
        _stop(f"the owner {error}" if owner is not None and str(error).startswith("has") else str(error))
    hashed = key.hash_of(made)
    if as_json:
        print(json.dumps({"key": made, "hash": hashed}))
    elif whose is None:
        print(f"key   {made}\nhash  {hashed}")
    else:
        # What is written into a file has no key in it.
        print(f"key   {made}", file=sys.stderr, flush=True)
        print(json.dumps({"subject": whose, "keys": [hashed]}))


def hash_key() -> None:
    """Reads a key that there is, and prints its hash."""
    if sys.stdin.isatty():
        from getpass import getpass

        text = getpass("Key: ")
    else:
        text = sys.stdin.readline().rstrip("\r\n")
    if not 16 <= len(text.encode()) <= key.LONGEST or not text.isascii() or not text.isprintable():
        _stop(f"a key has 16 to {key.LONGEST} printable characters of ASCII; a shorter one can be guessed")
    print(key.hash_of(text))


def _stop(says: str) -> NoReturn:
    stop(says, USAGE)
