# SPDX-License-Identifier: Apache-2.0
"""Marks on field types, by which `compile.py` and the generator know a field without knowing its model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, PydanticKnownError, core_schema

from tidegate.config.secret import SERIALIZATION, Outside, Secret
from tidegate.config.suggest import did_you_mean


@dataclass(frozen=True, slots=True)
class Reference:
    """The field names something defined elsewhere in the gateway."""

    noun: str
    """`backend`, `function`, `listener`: the singular of the section that defines it."""


@dataclass(frozen=True, slots=True)
class ControlOnly:
    """The field shapes what control and the supervisor do and is not sent to the node."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A text field's rule: `read` returns the text in its one spelling or raises `ValueError`."""

    read: Callable[[str], str]
    says: str
    """What the text is, for the reference page."""
    pattern: str | None = None
    """A regular expression that every right text matches, for editors."""

    def _validate(self, value: str) -> str:
        try:
            return self.read(value)
        except ValueError as error:
            raise PydanticCustomError("text", "{reason}", {"reason": str(error)}) from None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            self._validate, core_schema.str_schema(strict=True)
        )


@dataclass(frozen=True, slots=True)
class MaySecret:
    """A text field that can hold a credential: what came from `${...}` becomes a `Secret` in it."""

    read: Callable[[str], str]
    """As in `Rule`."""
    says: str
    """As in `Rule`."""

    def _validate(self, value: Any) -> str | Secret:
        if isinstance(value, Outside) and not value.sources:
            # What could not be read is a mistake already, and is not judged.
            return Secret("")
        value = Secret.of(value)
        if not isinstance(value, str | Secret):
            raise PydanticKnownError("string_type")
        try:
            if isinstance(value, str):
                return self.read(value)
            self.read(value.reveal())
        except ValueError as error:
            # Of a secret it is not said what is wrong with which part of it.
            reason = (
                str(error) if isinstance(value, str) else f"what `{value.id}` stands for does not fit here"
            )
            raise PydanticCustomError("text", "{reason}", {"reason": reason}) from None
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._validate, serialization=SERIALIZATION)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words; `name` is the enum's name in Rust."""

    name: str
    not_yet: frozenset[str] = frozenset()
    """Words that a later version will know."""
    instead: tuple[tuple[str, str], ...] = ()
    """Words of other programs, and what is written here."""
    internal: frozenset[str] = frozenset()
    """Words that only `compile.py` writes."""
    doc: str = ""
    """What is chosen."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        words = [word for word in get_args(source) if word not in self.internal]

        def validate(value: Any) -> str:
            if isinstance(value, str):
                if value in words:
                    return value
                if instead := dict(self.instead).get(value):
                    reason = f"`{value}` is written in another way here; {instead}"
                elif value in self.not_yet:
                    reason = f"`{value}` does not exist yet in this version; write `{words[0]}`"
                else:
                    reason = f"`{value}` is not one of them{did_you_mean(value, words)}"
            else:
                reason = "must be one of " + ", ".join(f"`{word}`" for word in words)
            raise PydanticCustomError("text", "{reason}", {"reason": reason})

        return core_schema.no_info_plain_validator_function(validate)


class Reads:
    """Reads short forms into the field's own form, before it is validated.

    Args:
        function: Gives other values back as they are.
        forms: What it reads, as JSON Schema with models in it; `"item"` is one item of the list.
        only: Whether these are all forms there are for users.
    """

    def __init__(self, function: Callable[[Any], Any], *forms: Any, only: bool = False) -> None:
        self.function = function
        self.forms = forms
        self.only = only

    def __repr__(self) -> str:
        return "Reads(...)"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.function, handler(source))


def one_or_more(value: Any) -> Any:
    """A text alone stands for a list of one."""
    return [value] if isinstance(value, str) else value


def one_key(key: str, value: Any) -> dict[str, Any]:
    """The JSON Schema of a mapping with exactly this key."""
    return {"type": "object", "properties": {key: value}, "required": [key], "additionalProperties": False}
