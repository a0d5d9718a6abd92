# SPDX-License-Identifier: Apache-2.0
"""Policies that others write in Python, with settings of their own."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import ValidationError
from pydantic_core import to_json

from tidegate.config.errors import message, path_text
from tidegate.config.function import Function
from tidegate.config.policy_settings import PolicySettings
from tidegate.config.secret import Secret
from tidegate.config.units import ByteSize, Duration


class CustomPolicy(PolicySettings):
    """Settings of a policy of your own, whose code runs in function workers.

    Write a class that derives from this one, with a `type`, a field for each setting and a docstring below
    each, as tidegate's own policies have. `function` says where the code is: a `@policy` that is handed
    these settings, an object of your class, as its parameter `settings`. Control reads the class and never
    the code. Under the entry point `tidegate.policies` the type is known in every configuration; without
    one, objects of the class may be used in a configuration in Python.

    A setting called `body`, of type `ByteSize`, says how much of a request's body the code is handed; the
    body is then read whole before it runs. Without one bodies stream past it.

    Example:
        >>> from typing import Literal
        >>> class Partners(CustomPolicy):
        ...     type: Literal["partners"] = "partners"
        ...     tier: str
        ...     function = "partners.rules:check"
        >>> Partners(tier="gold").tier
        'gold'
    """

    in_engine: ClassVar[bool] = False

    function: ClassVar[Function | str]
    """What runs it: a handler, or a function of kind `policy` with its `deadline` and the like. A function of
    section `functions` that is called as the type, with the same handler, takes its place."""

    @classmethod
    def runs(cls) -> Function:
        """What runs it, as a function.

        Raises:
            TypeError: The class does not say so, or says something else.
        """
        found: Any = getattr(cls, "function", None)
        if isinstance(found, str):
            found = Function(handler=found, kind="policy")
        if not isinstance(found, Function) or found.kind != "policy":
            text = "has no `function`: write the handler of its code, or a Function of kind `policy`"
            raise TypeError(f"{cls.__qualname__} {text}")
        return found

    @classmethod
    def located(cls) -> str:
        """Where workers find the class: `package.module:Class`.

        Raises:
            TypeError: Nowhere.
        """
        if "<locals>" in cls.__qualname__ or cls.__module__ == "__main__":
            raise TypeError(f"{cls.__qualname__} must stand in a module that workers can import")
        return f"{cls.__module__}:{cls.__qualname__}"

    @classmethod
    def judge(cls, tag: str) -> None:
        """Whether the class can be the policy of type `tag`.

        Raises:
            TypeError: It can not; the text says why.
        """
        own = cls.model_fields.get("type")
        if own is None or own.default != tag:
            text = f'write `type: Literal["{tag}"] = "{tag}"` in it'
            raise TypeError(f"{cls.__qualname__} is not of type `{tag}`: {text}")
        cls.runs()
        cls.located()

    def given(self) -> dict[str, Any]:
        """The settings as the code's own class reads them again from JSON; secrets are still `Secret`."""
        hidden = {"type", *type(self).control_only()}
        dumped: dict[str, Any] = _written(self.model_dump(exclude=hidden, by_alias=True))
        return dumped

    def checked(self) -> Self:
        """Itself, when what is sent to workers makes the same class again.

        Raises:
            TypeError: It does not: the class reads something else than it writes.
        """
        try:
            type(self).model_validate_json(to_json(self.given(), fallback=_revealed))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = path_text(list(first["loc"]))
            text = f"does not read what it writes itself: {where}: {message(first)}"
            raise TypeError(f"{type(self).__qualname__} {text}") from None
        except ValueError as error:
            raise TypeError(f"{type(self).__qualname__} can not be written as JSON: {error}") from None
        return self

    def limit(self) -> ByteSize | None:
        """How much of a request's body its code is handed."""
        found = getattr(self, "body", None)
        return found if isinstance(found, ByteSize) else None


def _revealed(value: Any) -> str:
    if not isinstance(value, Secret):
        raise ValueError(f"{type(value).__name__} has no form in JSON")
    return value.reveal()


def _written(value: Any) -> Any:
    """Quantities as users write them, which alone is read again."""
    if isinstance(value, Duration | ByteSize):
        return str(value)
    if isinstance(value, dict):
        return {key: _written(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_written(each) for each in value]
    return value
