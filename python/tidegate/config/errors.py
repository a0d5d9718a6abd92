# SPDX-License-Identifier: Apache-2.0
"""Pydantic's errors in our words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from tidegate.config.problem import ConfigError, Problem
from tidegate.config.secret import Secret


def message(found: Mapping[str, Any]) -> str:
    """What is wrong and what to write instead, for one of pydantic's error details."""
    context = found.get("ctx", {})
    match found["type"]:
        case "missing":
            return "is missing"
        case "int_type" | "int_parsing" | "int_from_float":
            return "must be a whole number" + (
                ", without quotes" if isinstance(found.get("input"), str) else ""
            )
        case "bool_type" | "bool_parsing":
            return "must be `true` or `false`"
        case "string_type":
            value = found.get("input")
            if isinstance(value, bool | int | float):
                return f"must be text; put `{str(value).lower()}` in quotes"
            if isinstance(value, Secret):
                return "is shown to everybody and takes no secret; if it is none, write `.reveal()` behind it"
            return "must be text"
        case "greater_than_equal":
            return f"must be at least {context['ge']}"
        case "less_than_equal":
            return f"must be at most {context['le']}"
        case "list_type":
            return _not_a_list(found.get("input"))
        case "dict_type" | "mapping_type" | "model_type" | "model_attributes_type":
            return _not_a_mapping(found.get("input"), context.get("class_name"))
        case "too_short":
            return (
                "must not be empty"
                if context.get("min_length") == 1
                else f"needs at least {context['min_length']}"
            )
        case "too_long":
            return f"has at most {context['max_length']}"
        case "string_too_short":
            return "must not be empty"
        case "string_too_long":
            return f"has at most {context['max_length']} characters"
        case "literal_error":
            return f"must be {context['expected']}".replace("'", "`")
        case "none_required":
            return "must be empty"
        case _:
            text = str(found["msg"])
            return text[:1].lower() + text[1:] if text.startswith("Input") else text


def _not_a_list(written: Any) -> str:
    if isinstance(written, dict):
        return "must be a list; begin each entry with `- `"
    return "must be a list; put the value in `[ ]`"


def _not_a_mapping(written: Any, model: str | None) -> str:
    if isinstance(written, list | tuple):
        return "must be a mapping; write `name: value` without `- `"
    if isinstance(written, str) and _NO_BLANK.match(written):
        name, _, value = written.partition(":")
        return f"must be a mapping; a blank is missing behind the `:`, write `{name}: {value}`"
    names = ", ".join(f"`{name}`" for name in _settings(model)) if model is not None else ""
    if isinstance(written, bool):
        advice = "write `{}` to have it with its defaults" if written else "leave it out"
        return f"must be a mapping of {names}; {advice}" if names else f"must be a mapping; {advice}"
    return f"must be a mapping of {names}" if names else "must be a mapping; write `name: value`"


def _settings(model: str) -> list[str]:
    """The names of a model's settings, if they are few enough to be told."""
    waiting: list[type[BaseModel]] = [BaseModel]
    while waiting:
        found = waiting.pop()
        if found.__name__ == model and found.__module__.startswith("tidegate."):
            names = list(found.model_fields)
            return names if len(names) <= 8 else []
        waiting += found.__subclasses__()
    return []


def from_validation(
    error: ValidationError, model: type[BaseModel], data: Mapping[str, Any], source: tuple[str, int] | None
) -> ConfigError:
    """The errors of a model built in Python, at the line that built it."""
    file, line = source or ("", 0)
    return ConfigError(
        [
            Problem(message(found), path=path_text(_known_path(found["loc"], data)), file=file, line=line)
            for found in error.errors(include_url=False)
        ]
    )


_NO_BLANK: Final = re.compile(r"[a-z_]{1,40}:[^\s:/]{1,40}\Z")
_NOTHING: Final = object()


def _known_path(loc: tuple[int | str, ...], data: Any) -> list[int | str]:
    """The parts of `loc` that are in what the user wrote; short forms and union tags are not."""
    result: list[int | str] = []
    for part in loc:
        child = _child(data, part)
        if child is not _NOTHING:
            data = child
            result.append(part)
    last = loc[-1] if loc else None
    if isinstance(last, str) and isinstance(data, Mapping) and (not result or result[-1] != last):
        result.append(last)
    return result


def _child(data: Any, part: int | str) -> Any:
    if isinstance(data, BaseModel):
        data = data.__dict__
    if isinstance(data, Mapping):
        return data.get(part, _NOTHING)
    if isinstance(data, list | tuple) and isinstance(part, int) and part < len(data):
        return data[part]
    return _NOTHING


def path_text(parts: list[int | str]) -> str:
    """`routes[2].match.path`; keys that are no plain words are quoted: `backends["a.b"]`."""
    text = ""
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.replace("-", "_").isidentifier():
            text += f".{part}" if text else part
        else:
            text += f'["{part}"]'
    return text
