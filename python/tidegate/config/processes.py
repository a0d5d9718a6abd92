# SPDX-License-Identifier: Apache-2.0
"""The user's own servers that tidegate keeps alive: `processes` of a backend."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Final

from pydantic import Field, field_validator, model_validator

from tidegate.config.base import Model, refuse
from tidegate.config.secret import Secret
from tidegate.config.types import Duration, FilePath, Name, SecretText

PORT: Final = "{port}"
"""What stands for a process's port in its command and environment."""

_Argument = Annotated[str, Field(max_length=4096, strict=True, pattern=r"^[^\x00]*$")]
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Processes(Model):
    """Servers that tidegate starts, watches and replaces one by one; each is an endpoint on its own port."""

    elsewhere: ClassVar[dict[str, str]] = {
        "workers": "write `count`",
        "processes": "write `count`",
        "env": "write `environment`",
        "cwd": "write `directory`",
        "port": "each has one of its own; write `{port}` in `command`",
    }

    command: Annotated[list[_Argument], Field(min_length=1, max_length=256)]
    """Program and arguments, without a shell; `{port}` in them is the port on 127.0.0.1 to listen on."""
    count: Annotated[int, Field(ge=1, le=256, strict=True)] = 1
    """How many run."""
    environment: dict[str, SecretText] = Field(default_factory=dict)
    """Variables besides those that tidegate has itself; `{port}` in them is the port, too."""
    directory: FilePath | None = None
    """Where they run, relative to the file that says so; that file's own folder without it."""
    venv: FilePath | None = None
    """The virtual environment whose programs are found first; tidegate's own without it."""
    user: Name | None = None
    """Whom they run as when tidegate was started as root; as function workers without it."""
    start_timeout: Duration = Duration("30s")
    """How long a new one may take until it answers, and passes the health check if there is one."""
    wait: Duration = Duration("10s")
    """How long requests wait while none serves, from when the last one was gone; after that a 503 at once."""
    drain_timeout: Duration = Duration("30s")
    """How long requests may take that one has when it is to be replaced; then it gets SIGTERM."""
    stop_timeout: Duration = Duration("10s")
    """How long one may take to end after SIGTERM; then it and all that it started get SIGKILL."""

    @field_validator("environment", mode="after")
    @classmethod
    def _variables(cls, environment: dict[str, str | Secret]) -> dict[str, str | Secret]:
        for name, value in environment.items():
            if not _VARIABLE.fullmatch(name):
                raise refuse(f"`{name[:60]}` is no name of an environment variable", "rule")
            if "\0" in (value.reveal() if isinstance(value, Secret) else value):
                raise refuse(f"`{name}` has a NUL in it, which no variable can hold", "rule")
        return environment

    @model_validator(mode="after")
    def _takes_its_port(self) -> Processes:
        if not self.command[0]:
            raise refuse("the first part of `command` is the program; write its name or path", "rule")
        values = [value for value in self.environment.values() if isinstance(value, str)]
        if not any(PORT in text for text in (*self.command, *values)):
            raise refuse(
                "nothing in `command` or `environment` has `{port}`, so no process would know where to "
                'listen; write it where the server takes its port, such as `--bind "127.0.0.1:{port}"`',
                "rule",
            )
        return self
