# SPDX-License-Identifier: Apache-2.0
"""What the settings mean: the texts below the fields of a model, read from its source.

Only the schema and the reference pages need them, so a start does not read them; pydantic's own way,
`use_attribute_docstrings`, reads the source of every model on every start.
"""

from __future__ import annotations

import ast
import inspect
import sys
from functools import cache
from itertools import pairwise

from tidegate.config.base import Model


@cache
def field_texts(model: type[Model]) -> dict[str, str]:
    """The text of each field that has one, fields of the models it derives from included.

    Of a package that comes without its source there are none.
    """
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, Model) and base is not Model:
            found |= _classes(base.__module__).get(base.__qualname__, {})
    return found


@cache
def _classes(module: str) -> dict[str, dict[str, str]]:
    """The texts of a module's classes."""
    found: dict[str, dict[str, str]] = {}
    try:
        source = inspect.getsource(sys.modules[module])
    except OSError:
        return found
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = dict(_texts(node.body))
    return found


def _texts(body: list[ast.stmt]) -> list[tuple[str, str]]:
    return [
        (field.target.id, inspect.cleandoc(text.value.value))
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    ]
