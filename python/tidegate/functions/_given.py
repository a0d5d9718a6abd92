# SPDX-License-Identifier: Apache-2.0
"""Hands policies their settings: from the JSON that the node tells to an object of the author's class."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

from tidegate.functions._errors import LoadError
from tidegate.functions._resolve import resolve

_MOST = 4096
"""Settings whose objects are kept for the next connection that names them."""
_SECRET = {"id", "value"}


def binder(handler: Callable[..., Any], model: str) -> Callable[[str], Callable[..., Any]]:
    """What makes of settings in JSON the handler that has them.

    Args:
        handler: Has a parameter `settings`.
        model: The class of the settings, `package.module:Class`.

    Raises:
        LoadError: There is no such class.
    """
    found = resolve(model)
    read = getattr(found, "model_validate_json", None)
    if read is None:
        raise LoadError(f"{model!r} is no class of settings")

    # Equal settings are one object, whichever connection tells them: code may keep something for each.
    @functools.lru_cache(maxsize=_MOST)
    def bind(text: str) -> Callable[..., Any]:
        return functools.partial(handler, settings=read(revealed(text)))

    return bind


def nothing(text: str) -> Callable[..., Any]:
    """For functions that are handed no settings.

    Raises:
        ValueError: Always; the node and this worker have other configurations.
    """
    raise ValueError(f"settings of {len(text)} bytes for a function that takes none")


def revealed(text: str) -> str:
    """The settings with secrets in their places, where the node says `{"secret": {"id", "value"}}`."""
    if '"secret"' not in text:
        return text

    def reveal(value: Any) -> Any:
        if isinstance(value, list):
            return [reveal(each) for each in value]
        if not isinstance(value, dict):
            return value
        inner = value.get("secret")
        if len(value) == 1 and isinstance(inner, dict) and inner.keys() == _SECRET:
            return inner["value"]
        return {key: reveal(each) for key, each in value.items()}

    return json.dumps(reveal(json.loads(text)))
