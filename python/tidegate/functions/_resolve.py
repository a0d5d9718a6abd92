# SPDX-License-Identifier: Apache-2.0
"""Finds a handler by its name, `package.module:attribute`."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from tidegate.functions._errors import LoadError


def resolve(name: str) -> Any:
    """Imports the module and returns the attribute, which may be dotted.

    Raises:
        LoadError: There is no such module or attribute; close names are offered. The cause is set when
            the module itself failed.
    """
    module_name, separator, attribute = name.partition(":")
    if not separator or not module_name or not attribute:
        raise LoadError(f"the handler {name!r} must be written as package.module:attribute")
    value: Any = _import(module_name, name)
    for part in attribute.split("."):
        try:
            value = getattr(value, part)
        except AttributeError:
            public = [known for known in dir(value) if not known.startswith("_")]
            where = f"the module {module_name}" if isinstance(value, ModuleType) else f"{value!r}"
            raise LoadError(f"the handler {name!r}: {where} has no {part!r}{_hint(part, public)}") from None
    return value


def _import(module_name: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing != module_name and not module_name.startswith(missing + "."):
            raise LoadError(
                f"the handler {name!r}: {module_name} imports {missing}, which is not installed here"
            ) from error
        parent, _, last = missing.rpartition(".")
        known = _modules(parent)
        hint = _hint(last, known) or "; its folder is `path` of the function"
        raise LoadError(f"the handler {name!r}: there is no module {missing!r}{hint}") from None
    except Exception as error:
        raise LoadError(f"the handler {name!r}: importing {module_name} failed") from error


def _modules(parent: str) -> list[str]:
    path: Iterable[str] | None = None
    if parent:
        path = getattr(importlib.import_module(parent), "__path__", ())
    return [module.name for module in pkgutil.iter_modules(path)]


def _hint(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
