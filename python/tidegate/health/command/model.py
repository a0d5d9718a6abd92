# SPDX-License-Identifier: Apache-2.0
"""Settings of `command`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tidegate.config.pace import Pace

_Argument = Annotated[str, Field(min_length=1, max_length=4096, strict=True, pattern=r"^[^\x00]*$")]


class CommandCheck(Pace):
    """An endpoint is well if a command ends with code 0."""

    type: Literal["command"] = "command"
    """The room."""
    command: Annotated[list[_Argument], Field(min_length=1, max_length=256)]
    """Program and arguments; `{address}`, `{host}` and `{port}` in them are the endpoint's."""
