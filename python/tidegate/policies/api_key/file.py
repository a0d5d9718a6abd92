# SPDX-License-Identifier: Apache-2.0
"""A file of owners, one line of JSON each: what can be written to at its end, and read fast."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from tidegate.config.errors import message
from tidegate.policies.api_key.owner import ApiKeyOwner

_LARGEST: Final = 64 << 20
_MOST_MISTAKES: Final = 10


def listed(owners: Iterable[ApiKeyOwner], file: Path | None) -> tuple[str, list[str]]:
    """All owners as JSON for the node, and what is wrong with them.

    Args:
        owners: Those of the configuration itself.
        file: Where the others are, if there are any.
    """
    seen = _Seen()
    texts: list[str] = []
    wrong: list[str] = []
    for number, owner in enumerate(owners):
        place = f"owners[{number}]"
        wrong += seen.again(owner, place)
        texts.append(_sent(owner))
    for place, found in _lines(file) if file is not None else ():
        mistakes = [found] if isinstance(found, str) else list(seen.again(found, place))
        if not mistakes and not isinstance(found, str):
            texts.append(_sent(found))
        wrong += [f"{place}: {says}" for says in mistakes]
        if len(wrong) > _MOST_MISTAKES:
            break
    return f"[{','.join(texts)}]", wrong


def _sent(owner: ApiKeyOwner) -> str:
    return to_json(owner).decode()


def _lines(file: Path) -> Iterator[tuple[str, ApiKeyOwner | str]]:
    """Each line's place, and its owner or what is wrong with it."""
    try:
        with open(file, "rb") as stream:
            content = stream.read(_LARGEST + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        yield f"`{file.name}`", f"can not be read: {reason}"
        return
    if len(content) > _LARGEST:
        yield f"`{file.name}`", "is larger than 64 MiB"
        return
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            yield f"`{file.name}` line {number}", _owner(line)


def _owner(line: bytes) -> ApiKeyOwner | str:
    try:
        return ApiKeyOwner.model_validate(from_json(line))
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in found["loc"])
        return f"{place}: {message(found)}" if place else message(found)
    except ValueError:
        return 'is no line of JSON; write one such as {"subject": "shop", "keys": ["sha256:..."]}'


class _Seen:
    """Subjects and hashes with the places where they stand: a key tells one owner."""

    def __init__(self) -> None:
        self._subjects: dict[str, str] = {}
        self._hashes: dict[str, str] = {}

    def again(self, owner: ApiKeyOwner, place: str) -> Iterator[str]:
        """What stands elsewhere already."""
        first = self._subjects.setdefault(owner.subject, place)
        if first is not place:
            yield f"{json.dumps(owner.subject)} stands at {first} already; write both keys there"
        for each in owner.keys:
            first = self._hashes.setdefault(each.hash, place)
            if first is not place:
                yield f"the key {each.hash[:15]}... stands at {first} already; a key has one owner"
