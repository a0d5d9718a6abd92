# SPDX-License-Identifier: Apache-2.0
"""Quantities with a unit: durations and sizes. In the snapshot they are whole milliseconds and bytes."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+", re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_MILLISECONDS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
# Past this a typing error is likelier than an intention, and sums of a few still fit any clock.
_LONGEST_MS = 366 * 86_400_000

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s?(B|KiB|MiB|GiB|TiB|kB|KB|MB|GB|TB)", re.ASCII)
_BYTES = {
    "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
    "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
}  # fmt: skip
_LARGEST_BYTES = 1 << 50


def _schema(convert: Callable[[Any], Any]) -> CoreSchema:
    return core_schema.no_info_plain_validator_function(convert)


class Duration(int):
    """A length of time in whole milliseconds, 1 ms to 366 days.

    Written `250ms`, `5s`, `2m`, `1h`, `1d` or several of them from the longest (`1h30m`). A bare number
    has no unit and is refused. Python callers may give a `datetime.timedelta`.

    Raises:
        ValueError: The text is no duration, or out of range.
    """

    pattern: ClassVar[str] = r"^(\d+(\.\d+)?(ms|s|m|h|d))+$"

    def __new__(cls, value: str | timedelta | Duration) -> Self:
        """Reads a duration."""
        if isinstance(value, Duration):
            return int.__new__(cls, int(value))
        if isinstance(value, timedelta):
            return cls.of_ms(round(value.total_seconds() * 1000))
        if isinstance(value, str):
            return cls.of_ms(cls._parse(value))
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise ValueError(
                f"{value} has no unit; write `{value}s` for seconds or `{value}ms` for milliseconds"
            )
        raise ValueError("is no duration; write it like `5s`, `250ms` or `1h`")

    @staticmethod
    def _parse(text: str) -> int:
        if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII):
            raise ValueError(
                f"`{text}` has no unit; write `{text}s` for seconds or `{text}ms` for milliseconds"
            )
        if not _DURATION.fullmatch(text) or len(text) > 64:
            raise ValueError(f"`{text[:40]}` is no duration; write it like `5s`, `250ms` or `1h`")
        total = 0.0
        last = float("inf")
        for number, unit in _DURATION_PART.findall(text):
            if _MILLISECONDS[unit] >= last:
                raise ValueError(
                    f"`{text}` repeats or reverses its units; write the longest first, as in `1h30m`"
                )
            last = _MILLISECONDS[unit]
            total += float(number) * last
        if total != int(total):
            raise ValueError(f"`{text}` is finer than a millisecond; write whole milliseconds")
        return int(total)

    @classmethod
    def of_ms(cls, milliseconds: int) -> Self:
        """A duration of so many milliseconds.

        Raises:
            ValueError: Out of range.
        """
        if milliseconds < 1:
            raise ValueError("must be longer than 0; every wait is finite, so 0 can not switch it off")
        if milliseconds > _LONGEST_MS:
            raise ValueError("must be at most 366d")
        return int.__new__(cls, milliseconds)

    def __str__(self) -> str:
        for unit, size in _MILLISECONDS.items():
            if int(self) % size == 0:
                return f"{int(self) // size}{unit}"
        return f"{int(self)}ms"

    def __getnewargs__(self) -> tuple[str]:  # type: ignore[override]
        # Copies and pickles go through `__new__`, which refuses bare numbers.
        return (str(self),)

    def __repr__(self) -> str:
        return f"Duration('{self}')"

    @property
    def seconds(self) -> float:
        """In seconds."""
        return int(self) / 1000

    @classmethod
    def _validate(cls, value: Any) -> Self:
        try:
            return cls(value)
        except ValueError as error:
            raise PydanticCustomError("duration", "{reason}", {"reason": str(error)}) from None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return _schema(cls._validate)


class ByteSize(int):
    """A size in whole bytes, 1 B to 1 PiB.

    Written `512B`, `32KiB`, `10MiB`, `1GiB` (powers of 1024) or `1kB`, `1MB` (powers of 1000). A bare
    number has no unit and is refused.

    Raises:
        ValueError: The text is no size, or out of range.
    """

    pattern: ClassVar[str] = r"^\d+(\.\d+)? ?(B|[KMGT]iB|[kKMGT]B)$"

    def __new__(cls, value: str | ByteSize) -> Self:
        """Reads a size."""
        if isinstance(value, ByteSize):
            return int.__new__(cls, int(value))
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise ValueError(f"{value} has no unit; write `{value}B` for bytes or a size like `32KiB`")
        if not isinstance(value, str):
            raise ValueError("is no size; write it like `32KiB` or `10MiB`")
        found = _SIZE.fullmatch(value)
        if found is None or len(value) > 32:
            if re.fullmatch(r"\d+", value, re.ASCII):
                raise ValueError(f"`{value[:40]}` has no unit; write `{value[:40]}B` or a size like `32KiB`")
            raise ValueError(f"`{value[:40]}` is no size; write it like `32KiB` or `10MiB`")
        size = float(found[1]) * _BYTES[found[2]]
        if size != int(size):
            raise ValueError(f"`{value}` is not a whole number of bytes")
        return cls.of_bytes(int(size))

    @classmethod
    def of_bytes(cls, count: int) -> Self:
        """A size of so many bytes.

        Raises:
            ValueError: Out of range.
        """
        if count < 1:
            raise ValueError("must be more than 0")
        if count > _LARGEST_BYTES:
            raise ValueError("must be at most 1024TiB")
        return int.__new__(cls, count)

    def __str__(self) -> str:
        for unit in ("TiB", "GiB", "MiB", "KiB"):
            if int(self) % _BYTES[unit] == 0:
                return f"{int(self) // _BYTES[unit]}{unit}"
        return f"{int(self)}B"

    def __getnewargs__(self) -> tuple[str]:  # type: ignore[override]
        # Copies and pickles go through `__new__`, which refuses bare numbers.
        return (str(self),)

    def __repr__(self) -> str:
        return f"ByteSize('{self}')"

    @classmethod
    def _validate(cls, value: Any) -> Self:
        try:
            return cls(value)
        except ValueError as error:
            raise PydanticCustomError("byte_size", "{reason}", {"reason": str(error)}) from None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return _schema(cls._validate)
