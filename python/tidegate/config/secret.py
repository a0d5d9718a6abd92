# SPDX-License-Identifier: Apache-2.0
"""Texts that must not be seen, and where they come from."""

from __future__ import annotations

import copyreg
import io
import os
import pickle
import re
import sys
from pathlib import Path
from typing import Any, Final

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

_LONGEST_SOURCE: Final = 200
_UNPRINTABLE = re.compile(r"[^ -~]")


class Outside(str):
    """A text that came, in whole or in part, from `${env:NAME}` or `${file:path}`.

    A setting that can hold a credential makes a `Secret` of it; to every other it is an ordinary text.
    """

    __slots__ = ("sources",)
    sources: tuple[str, ...]

    def __new__(cls, text: str, sources: tuple[str, ...]) -> Outside:
        """A text with where it came from: `env:NAME`, `file:path`; nothing if that could not be read."""
        made = super().__new__(cls, text)
        made.sources = sources
        return made

    def __repr__(self) -> str:
        return shown(self.sources)


class Secret:
    """A text that does not print: `str`, `repr`, dumps of a model and errors name its source instead.

    Texts are put before and behind it with `+`; to format it into one is an error, because the result would
    be an ordinary text. Only `reveal` gives it away; `compile.py` calls it for the section of the
    snapshot that is never shown.

    Example:
        >>> from tidegate import Secret
        >>> "Bearer " + Secret("hunter2")
        Secret('unnamed')
    """

    __slots__ = ("_sources", "_text")

    def __init__(self, text: str, *sources: str) -> None:
        """Hides a text.

        Args:
            text: What must not be seen.
            sources: Where it came from, which may be seen: `env:API_KEY`.
        """
        self._text = str(text)
        self._sources = sources

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    @property
    def id(self) -> str:
        """What it is called where it is not shown: its sources, `env:API_KEY`; `unnamed` without any."""
        text = "+".join(self._sources) or "unnamed"
        return _UNPRINTABLE.sub("?", text)[:_LONGEST_SOURCE]

    def __add__(self, other: object) -> Secret:
        if isinstance(other, Secret):
            return Secret(self._text + other._text, *self._sources, *other._sources)
        return Secret(self._text + other, *self._sources) if isinstance(other, str) else NotImplemented

    def __radd__(self, other: object) -> Secret:
        return Secret(other + self._text, *self._sources) if isinstance(other, str) else NotImplemented

    def __repr__(self) -> str:
        return f"Secret({self.id!r})"

    def __str__(self) -> str:
        return shown(self._sources)

    def __format__(self, spec: str) -> str:
        # The stand-in would be sent in the secret's place, and nobody told.
        raise TypeError('a Secret can not be formatted into a text; write "Bearer " + secret')

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (other._text, other._sources) == (self._text, self._sources)

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __reduce__(self) -> str | tuple[Any, ...]:
        # A pickle is a copy in the clear that nobody watches; `pickled` is for a file that is watched.
        raise TypeError("a Secret can not be pickled")

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self

    @classmethod
    def of(cls, value: Any) -> Any:
        """A text from outside as a secret; anything else as it is."""
        return cls(str(value), *value.sources) if isinstance(value, Outside) else value

    @classmethod
    def _validate(cls, value: Any) -> Secret:
        value = cls.of(value)
        if isinstance(value, Secret):
            return value
        if isinstance(value, str):
            return cls(value)
        # The value stays out of the message: it may be most of the secret.
        raise PydanticCustomError("secret", "must be text; put numbers in quotes")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(cls._validate, serialization=SERIALIZATION)


def _to_json(value: Any, info: core_schema.SerializationInfo) -> Any:
    if not isinstance(value, Secret):
        return value
    return str(value) if info.context is None else info.context(value)


SERIALIZATION: Final = core_schema.plain_serializer_function_ser_schema(
    _to_json, info_arg=True, when_used="json"
)
"""To JSON as it may be seen; `compile.py` says as the context what is written in the place of a secret."""


def shown(sources: tuple[str, ...]) -> str:
    """What stands in the place of a secret: `(secret env:API_KEY)`; as in `crates/config/src/secret.rs`."""
    return f"(secret {Secret('', *sources).id})"


def pickled(value: Any) -> bytes:
    """A pickle that has secrets in the clear: for a file that only its owner may read."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer)
    pickler.dispatch_table = {
        **copyreg.dispatch_table,
        Secret: lambda secret: (Secret, (secret._text, *secret._sources)),
    }
    pickler.dump(value)
    return buffer.getvalue()


def env(name: str) -> Secret:
    """A secret from the environment, as `${env:NAME}` in a file.

    Raises:
        ConfigError: The variable is not set.
    """
    from tidegate.config.data import environment_text

    return _read(environment_text, name, os.environ, f"env:{name}")


def file(path: str | os.PathLike[str]) -> Secret:
    """A secret from a file without its last line end, as `${file:path}` in a file.

    Args:
        path: Relative to the folder of the Python file that calls this.

    Raises:
        ConfigError: It can not be read, is no UTF-8 text, or is larger than 1 MiB.
    """
    from tidegate.config.data import file_text

    caller = Path(sys._getframe(1).f_code.co_filename)
    folder = caller.parent if caller.is_absolute() else Path.cwd()
    FILES.add(folder / path)
    return _read(file_text, os.fspath(path), folder, f"file:{os.fspath(path)}")


FILES: Final[set[Path]] = set()
"""What `file` read in this process: what to watch."""


def _read(read: Any, name: str, where: Any, source: str) -> Secret:
    from tidegate.config.problem import ConfigError, Problem

    try:
        return Secret(read(name, where), source)
    except ValueError as error:
        frame = sys._getframe(2)
        raise ConfigError([Problem(str(error), file=frame.f_code.co_filename, line=frame.f_lineno)]) from None
