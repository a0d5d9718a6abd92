# SPDX-License-Identifier: Apache-2.0
"""The class every model derives from: strict keys, frozen, and errors that say what to write instead."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any, ClassVar, Self, get_args

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import ErrorType

from tidegate.config.marks import ControlOnly
from tidegate.config.suggest import did_you_mean


class Model(BaseModel):
    """Settings of one thing. Unknown keys are errors, instances do not change.

    Built in Python, an instance remembers the line that built it, for error messages; that is no part
    of its value.
    """

    # "instance" is what Python built; it was checked when it was built.
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        revalidate_instances="never",
    )
    # Not a field and not private state either: pydantic compares private state in `==`.
    __slots__ = ("_source",)

    rust_name: ClassVar[str] = ""
    """The struct's name in Rust where it is not the class's."""
    short_forms: ClassVar[tuple[Any, ...]] = ()
    """Other forms that its validators read, as JSON Schema with models in it."""
    is_short_only: ClassVar[bool] = False
    """Whether users write the short forms alone."""
    tag: ClassVar[str | None] = None
    """What `type` must be for the model to be meant, where it is told from others by that."""
    in_engine: ClassVar[bool] = True
    """Of a room: whether it has a folder of the same name in Rust."""
    not_yet: ClassVar[dict[str, str]] = {}
    """Keys that a later version will know, and what can be done today; empty text for nothing."""
    elsewhere: ClassVar[dict[str, str]] = {}
    """Keys that are looked for here and stand elsewhere, and what to write."""

    def __init__(self, /, **data: Any) -> None:
        from tidegate.config.errors import from_validation

        source = _caller()
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise from_validation(error, type(self), data, source) from None
        object.__setattr__(self, "_source", source)

    # Pydantic calls an own `__init__` for nested data too unless told that it is the ordinary one.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # Frozen all the way down, and defaults are copied for every model that has them.
        return self

    @property
    def source(self) -> tuple[str, int] | None:
        """File and line of the Python code that built this; `None` if it came from a file."""
        return getattr(self, "_source", None)

    @classmethod
    @cache
    def control_only(cls) -> frozenset[str]:
        """Fields that are not sent to the node."""
        return frozenset(
            name
            for name, field in cls.model_fields.items()
            if any(isinstance(mark, ControlOnly) for mark in field.metadata)
        )

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(data)
        except ValidationError as error:
            if not any(
                len(found["loc"]) == 1 and found["type"] == "extra_forbidden" for found in error.errors()
            ):
                raise
            raise _explained(cls, error) from None


def _explained(model: type[Model], error: ValidationError) -> ValidationError:
    """The same errors, with unknown keys of this model explained."""
    details: list[InitErrorDetails] = []
    for found in error.errors(include_url=False):
        kind: str | PydanticCustomError = found["type"]
        if found["type"] == "extra_forbidden" and len(found["loc"]) == 1:
            kind = PydanticCustomError(
                "unknown_key", "{reason}", {"reason": unknown_key(model, str(found["loc"][0]))}
            )
        detail = InitErrorDetails(type=_known(kind, found), loc=found["loc"], input=found["input"])
        if isinstance(kind, str) and "ctx" in found and isinstance(detail["type"], str):
            detail["ctx"] = found["ctx"]
        details.append(detail)
    return ValidationError.from_exception_data(error.title, details)


_PYDANTIC_KINDS = frozenset(get_args(ErrorType))


def _known(kind: str | PydanticCustomError, found: Any) -> str | PydanticCustomError:
    """A custom error's type can not be rebuilt from its name alone."""
    if isinstance(kind, str) and kind not in _PYDANTIC_KINDS:
        return PydanticCustomError(kind, "{reason}", {"reason": found["msg"]})
    return kind


def unknown_key(model: type[Model], key: str) -> str:
    """What to say of a key that the model does not have."""
    if key in model.not_yet:
        instead = model.not_yet[key]
        return f"`{key}` does not exist yet in this version" + (f"; {instead}" if instead else "")
    if key in model.elsewhere:
        return f"`{key}` is no setting here; {model.elsewhere[key]}"
    name, colon, value = key.partition(":")
    if colon and name in model.model_fields:
        return f"a blank is missing behind the `:`; write `{name}: {value}`"
    return f"no such setting{did_you_mean(key, model.model_fields)}"


def refuse(reason: str, kind: str = "form") -> PydanticCustomError:
    """An error whose message is `reason` as it is, to be raised in a validator."""
    return PydanticCustomError(kind, "{reason}", {"reason": reason})


def _caller() -> tuple[str, int] | None:
    """The nearest frame outside the models and pydantic."""
    frame = sys._getframe(2)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if not module.startswith(("tidegate.config.", "pydantic")) or ".test_" in module:
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
    return None
