# SPDX-License-Identifier: Apache-2.0
"""Marks on field types, by which `compile.py` and the generator know a field without knowing its model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

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
        return core_schema.no_info_after_validator_function(self._validate, core_schema.str_schema(strict=True))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema: JsonSchemaValue = {"type": "string"}
        if self.pattern is not None:
            schema["pattern"] = self.pattern
        return schema


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words; `name` is the enum's name in Rust."""

    name: str
    not_yet: frozenset[str] = frozenset()
    """Words that a later version will know."""
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
                if value in self.not_yet:
                    reason = f"`{value}` does not exist yet in this version; write `{words[0]}`"
                else:
                    reason = f"`{value}` is not one of them{did_you_mean(value, words)}"
            else:
                reason = "must be one of " + ", ".join(f"`{word}`" for word in words)
            raise PydanticCustomError("text", "{reason}", {"reason": reason})

        return core_schema.no_info_plain_validator_function(validate, metadata={"pydantic_js_input_core_schema": core_schema.literal_schema(words)})
