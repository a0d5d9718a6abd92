# SPDX-License-Identifier: Apache-2.0
"""What `from tidegate import` gives: everything that a configuration in Python is made of."""

import typing
from collections.abc import Iterator
from typing import Any

import pytest

import tidegate
from tidegate.config.base import Model
from tidegate.config.gateway import Gateway
from tidegate.config.target import Internal


def _models(annotation: Any, seen: set[type[Model]]) -> Iterator[type[Model]]:
    if isinstance(annotation, type) and issubclass(annotation, Model) and annotation not in seen:
        seen.add(annotation)
        yield annotation
        for field in annotation.model_fields.values():
            yield from _models(field.annotation, seen)
    for part in typing.get_args(annotation):
        yield from _models(part, seen)


# Rooms are exported by their own packages; nobody writes a page of ours as a target.
MODELS = [model for model in _models(Gateway, {Model}) if model is not Internal]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_model_of_a_gateway_is_exported(model: type[Model]) -> None:
    name = model.__name__
    assert name in tidegate.__all__, f"add it to tidegate/__init__.py: {model.__module__}"
    assert getattr(tidegate, name) is model


def test_every_name_that_is_exported_is_there() -> None:
    assert {"Route", "ErrorPage", "AccessLog", "policy"} < set(tidegate.__all__) <= set(dir(tidegate))
    for name in tidegate.__all__:
        assert getattr(tidegate, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = tidegate.Nothing
