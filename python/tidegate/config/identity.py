# SPDX-License-Identifier: Apache-2.0
"""What a configuration says of who calls, where the policy that proves it has nobody else to ask."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Final

from pydantic import Field, field_validator

from tidegate.config.base import Model, refuse
from tidegate.config.marks import Reads, Rule, one_or_more
from tidegate.config.target import headers

_WORD = re.compile(r"[^\s\"\\\x00-\x1f\x7f]{1,200}")
_TEXTS: Final = {"type": "object", "additionalProperties": {"type": "string"}}


def subject(text: str) -> str:
    """Who calls.

    Raises:
        ValueError: It is no name.
    """
    if not text.isprintable() or text != text.strip() or not 1 <= len(text) <= 200:
        raise ValueError("has 1 to 200 printable characters and no blanks at its ends")
    return text


def word(text: str) -> str:
    """A role or a scope.

    Raises:
        ValueError: It is none.
    """
    if not _WORD.fullmatch(text):
        raise ValueError(f'`{text[:40]}` is none; write 1 to 200 characters without blanks, `"` and `\\`')
    return text


def _claim(text: str) -> str:
    if len(text) > 1024:
        raise ValueError("is longer than 1,024 characters")
    return text


def _pairs(value: Any) -> Any:
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, list | tuple):
        return value
    raise refuse("must be a mapping from names to texts")


def wanted(instead: str) -> Callable[[Any], Any]:
    """Reads `{claim: text}` or `{claim: [text, text]}` into pairs; `instead` says what to write for a claim,
    `{name}`, that is no text."""

    def read(value: Any) -> Any:
        pairs = headers(value)
        for pair in pairs:
            if isinstance(pair, tuple) and not isinstance(pair[1], str):
                raise refuse(instead.format(name=pair[0]), "text")
        return pairs

    return read


Subject = Annotated[str, Rule(subject, "1 to 200 printable characters")]
_Word = Annotated[str, Rule(word, "1 to 200 characters without blanks")]
_Claim = Annotated[str, Rule(_claim, "text")]


class IdentityFacts(Model):
    """What later policies, endpoints and the log may know of somebody besides the name."""

    roles: Annotated[list[_Word], Field(max_length=100), Reads(one_or_more, "item")] = Field(
        default_factory=list
    )
    """What they are."""
    scopes: Annotated[list[_Word], Field(max_length=100), Reads(one_or_more, "item")] = Field(
        default_factory=list
    )
    """What they may do."""
    claims: Annotated[list[tuple[_Claim, _Claim]], Field(max_length=50), Reads(_pairs, _TEXTS, only=True)] = (
        Field(default_factory=list)
    )
    """What else is known: texts by name."""

    @field_validator("claims", mode="after")
    @classmethod
    def _once(cls, claims: list[tuple[str, str]]) -> list[tuple[str, str]]:
        if len(dict(claims)) != len(claims):
            raise refuse("two of them have the same name", "rule")
        return claims
