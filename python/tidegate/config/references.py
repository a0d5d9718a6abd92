# SPDX-License-Identifier: Apache-2.0
"""Finds the names in a model that point elsewhere, by the types of its fields."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, get_args, get_origin

from tidegate.config.base import Model
from tidegate.config.marks import Reference

Path = tuple[int | str, ...]


def references(model: Model) -> Iterator[tuple[Path, str, str]]:
    """Every reference in a model: where, the noun it points to, the name."""
    for name in _leading(type(model)):
        annotation = type(model).model_fields[name]
        yield from _in(getattr(model, name), [annotation.annotation, *annotation.metadata], (name,))


@cache
def _leading(model: type[Model]) -> tuple[str, ...]:
    """Fields that can hold a reference, so that rooms without any cost nothing."""
    return tuple(
        name
        for name, field in model.model_fields.items()
        if _can(field.annotation, tuple(field.metadata), frozenset({model}))
    )


def _can(annotation: Any, metadata: tuple[Any, ...], seen: frozenset[type[Model]]) -> bool:
    if any(isinstance(mark, Reference) for mark in metadata):
        return True
    if isinstance(annotation, type) and issubclass(annotation, Model):
        if annotation in seen:
            return False
        return any(
            _can(field.annotation, tuple(field.metadata), seen | {annotation})
            for field in annotation.model_fields.values()
        )
    return any(
        _can(part, tuple(get_args(part)[1:]) if get_origin(part) is Annotated else (), seen)
        for part in get_args(annotation)
    )


def _in(value: Any, marks: list[Any], path: Path) -> Iterator[tuple[Path, str, str]]:
    if isinstance(value, Model):
        for where, noun, name in references(value):
            yield (*path, *where), noun, name
        return
    if isinstance(value, str):
        found = _noun(marks)
        if found is not None:
            yield path, found, value
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _in(item, marks, (*path, number))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _in(item, marks, (*path, key))


def _noun(marks: list[Any]) -> str | None:
    """The first reference mark anywhere in an annotation."""
    for mark in marks:
        if isinstance(mark, Reference):
            return mark.noun
        found = _noun(list(get_args(mark)))
        if found is not None:
            return found
    return None
