# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of the configuration, short forms and every installed room included: for editors.

Made from the models over the closed list of types. Pydantic's own generator knows neither short forms nor
rooms, and writes defaults as the node gets them (`5000`) instead of as users write them (`5s`).
"""

from __future__ import annotations

import types
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.fields import FieldInfo

from tidegate.config.base import Model
from tidegate.config.custom_policy import CustomPolicy
from tidegate.config.gateway import Gateway
from tidegate.config.marks import Choice, MaySecret, Reads, Rule
from tidegate.config.policy_settings import Disable
from tidegate.config.rooms import Rooms, room, tags
from tidegate.config.secret import Secret
from tidegate.config.texts import field_texts
from tidegate.config.units import ByteSize, Duration

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
Json = dict[str, Any]


def schema() -> Json:
    """What a configuration file may hold, as JSON Schema 2020-12. Imports every room."""
    builder = _Builder()
    root = builder.object(Gateway)
    # A section whose entries are all commented out is empty, and means nothing.
    root["properties"] = {
        key: {"anyOf": [value, {"type": "null"}]} for key, value in root["properties"].items()
    }
    return {
        "$schema": DIALECT,
        "title": "tidegate",
        **root,
        "$defs": dict(sorted(builder.definitions.items())),
    }


def is_tag(key: str, field: FieldInfo) -> bool:
    """Whether a field is the `type` by which a union or room is told apart."""
    return key == "type" and get_origin(field.annotation) is Literal


def written_default(field: FieldInfo) -> Any:
    """A field's default as a user would write it; `None` if there is none or it is no plain value."""
    if field.is_required():
        return None
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, Duration | ByteSize):
        return str(value)
    if isinstance(value, str | bool | int) or (
        isinstance(value, list) and all(isinstance(each, str | int) for each in value)
    ):
        return value
    return None


class _Builder:
    """Writes each model once, under `$defs`."""

    def __init__(self) -> None:
        self.definitions: dict[str, Json] = {}
        self._is_custom = False

    def reference(self, model: type[Model]) -> Json:
        """Where a model's schema stands."""
        is_ours = model.__module__.startswith("tidegate.")
        name = model.__name__ if is_ours else f"{model.__module__}.{model.__name__}"
        if name not in self.definitions:
            self.definitions[name] = {}
            forms = [self.resolved(form) for form in model.short_forms]
            own = [] if model.is_short_only else [self.object(model, tag=model.tag)]
            if len(own + forms) == 1:
                self.definitions[name] = (own + forms)[0]
            else:
                self.definitions[name] = {"description": _text(model.__doc__), "anyOf": own + forms}
        return {"$ref": f"#/$defs/{name}"}

    def object(self, model: type[Model], *, tag: str | None = None) -> Json:
        """A model as a mapping; with `tag`, as a room, which needs its `type`."""
        properties: Json = {}
        required: list[str] = []
        for key, field in model.model_fields.items():
            if is_tag(key, field):
                if tag is not None:
                    properties[key] = {"const": tag}
                    required.append(key)
                continue
            properties[key] = self.field(field, field_texts(model).get(key))
            if field.is_required():
                required.append(key)
        result: Json = {"type": "object", "description": _text(model.__doc__), "properties": properties}
        if required:
            result["required"] = required
        return {**result, "additionalProperties": False}

    def field(self, field: FieldInfo, description: str | None) -> Json:
        """A field with its description and default."""
        result = self.type(field.annotation, field.metadata)
        if description:
            result = {**result, "description": _text(description)}
        default = written_default(field)
        if default is not None:
            result = {**result, "default": default}
        return result

    def resolved(self, form: Any) -> Any:
        """A form with models in it, as plain JSON Schema."""
        if isinstance(form, type) and issubclass(form, Model):
            return self.reference(form)
        if isinstance(form, dict):
            return {key: self.resolved(value) for key, value in form.items()}
        return [self.resolved(value) for value in form] if isinstance(form, list) else form

    def type(self, annotation: Any, metadata: list[Any]) -> Json:
        """A field's type."""
        if get_origin(annotation) is Annotated:
            inner, *marks = get_args(annotation)
            return self.type(inner, [*marks, *metadata])
        for mark in metadata:
            if isinstance(mark, Reads) and mark.forms:
                return self._read(mark, annotation, [other for other in metadata if other is not mark])
            if isinstance(mark, Rooms):
                return self._rooms(mark)
            if isinstance(mark, Choice):
                return self._leaf(
                    {"enum": [word for word in get_args(annotation) if word not in mark.internal]}
                )
            if isinstance(mark, MaySecret):
                return {"type": "string"}
            if isinstance(mark, Rule):
                text = {"type": "string"}
                return self._leaf({**text, "pattern": mark.pattern}) if mark.pattern else text
        return self._plain(annotation, metadata)

    def _leaf(self, form: Json) -> Json:
        """A value that is not any text, or `${env:NAME}` or `${file:path}` in its place."""
        self.definitions.setdefault(
            "outside",
            {"type": "string", "pattern": r"\$\{(env|file):", "description": "Filled in when read."},
        )
        return {"anyOf": [form, {"$ref": "#/$defs/outside"}]}

    def _read(self, mark: Reads, annotation: Any, rest: list[Any]) -> Json:
        forms = [self.resolved(form) for form in mark.forms if form != "item"]
        if "item" in mark.forms:
            forms.append(self.type(get_args(annotation)[0], []))
        if not mark.only:
            forms.append(self.type(annotation, rest))
        return forms[0] if len(forms) == 1 else {"anyOf": forms}

    def _rooms(self, mark: Rooms) -> Json:
        choices: list[Json] = []
        bare: list[str] = []
        for tag in tags(mark.area):
            model = room(mark.area, tag)
            name = f"{mark.area}.{tag}"
            self.definitions.setdefault(name, {})
            self._is_custom = issubclass(model, CustomPolicy)
            self.definitions[name] = self.object(model, tag=tag)
            self._is_custom = False
            choices.append({"$ref": f"#/$defs/{name}"})
            if not any(field.is_required() for field in model.model_fields.values()):
                bare.append(tag)
        if mark.named:
            choices.append({"type": "string", "description": "The name of a set in section `policies`."})
            choices.append(self.reference(Disable))
        elif bare:
            choices.append({"enum": bare})
        return {"anyOf": [*choices, {"type": "null"}] if mark.optional else choices}

    def _plain(self, annotation: Any, metadata: list[Any]) -> Json:
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is list:
            return {"type": "array", "items": self.type(arguments[0], []), **_bounds(metadata, "Items")}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.type(arguments[1], [])}
        if origin is Literal:
            return self._leaf({"enum": list(arguments)})
        if origin in (Union, types.UnionType):
            return {
                "anyOf": [
                    self.type(argument, metadata if argument is not type(None) else [])
                    for argument in arguments
                ]
            }
        if annotation is Duration or annotation is ByteSize:
            return self._leaf({"type": "string", "pattern": annotation.pattern})
        if annotation is bool:
            return self._leaf({"type": "boolean"})
        if annotation is int:
            return self._leaf({"type": "integer", **_bounds(metadata, "")})
        if annotation is str or annotation is Secret:
            return {"type": "string", **_bounds(metadata, "Length")}
        if annotation is type(None):
            return {"type": "null"}
        if isinstance(annotation, type) and issubclass(annotation, Model):
            return self.reference(annotation)
        if self._is_custom:
            return self._foreign(annotation, metadata)
        raise TypeError(f"{annotation!r} is not one of the types in python/tidegate/config/types.py")

    def _foreign(self, annotation: Any, metadata: list[Any]) -> Json:
        """A type that only pydantic knows, in the settings of somebody else's policy."""
        whole: Any = Annotated[annotation, *metadata] if metadata else annotation
        try:
            made = TypeAdapter(whole).json_schema(ref_template="#/$defs/pydantic.{model}")
        except PydanticInvalidForJsonSchema:
            return {}
        for name, definition in made.pop("$defs", {}).items():
            self.definitions[f"pydantic.{name}"] = definition
        return self._leaf(made) if annotation is float else made


def bounds(metadata: list[Any]) -> tuple[Any, Any]:
    """The lower and upper bound of a number, or of a length; `None` for none."""
    low = high = None
    for mark in metadata:
        for bound in [mark, *getattr(mark, "metadata", [])]:
            low = next(
                (value for key in ("ge", "min_length") if (value := getattr(bound, key, None)) is not None),
                low,
            )
            high = next(
                (value for key in ("le", "max_length") if (value := getattr(bound, key, None)) is not None),
                high,
            )
    return low, high


def _bounds(metadata: list[Any], noun: str) -> Json:
    low, high = bounds(metadata)
    names = (f"min{noun}", f"max{noun}") if noun else ("minimum", "maximum")
    return {name: value for name, value in zip(names, (low, high), strict=True) if value is not None}


def _text(text: str | None) -> str:
    return " ".join((text or "").split())
