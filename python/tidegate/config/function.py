# SPDX-License-Identifier: Apache-2.0
"""User code in function workers: section `functions`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from tidegate.config.base import Model
from tidegate.config.types import ByteSize, Choice, ControlOnly, Duration, FilePath, Flag, Handler, Name

FunctionKind = Annotated[
    Literal["policy", "function", "lambda", "asgi", "health_check"],
    Choice("FunctionKind", doc="What user code is."),
]


class Function(Model):
    """A policy, function or ASGI application that runs in function workers. A text alone is the handler."""

    short_forms: ClassVar[tuple[Any, ...]] = ({"type": "string"},)

    handler: Annotated[Handler, ControlOnly()]
    """Where it is: `package.module:attribute`."""
    kind: FunctionKind = "function"
    """What it is: a `@policy`, a plain function `(request) -> answer`, a handler with AWS Lambda's contract
    `(event, context)`, an ASGI application, or a `@health_check`."""
    path: Annotated[FilePath | None, ControlOnly()] = None
    """The folder its code is imported from, relative to the file that says so; the file's own without it."""
    venv: Annotated[FilePath | None, ControlOnly()] = None
    """The virtual environment it runs in; tidegate's own without it."""
    workers: Annotated[int, Field(ge=1, le=256, strict=True), ControlOnly()] = 1
    """Processes."""
    pool: Annotated[Name | None, ControlOnly()] = None
    """Functions that name the same pool share its processes; without it a function has its own."""
    deadline: Duration = Duration("30s")
    """How long one call may take, 1 s by default for a policy; then the client gets a 504."""
    pending: Duration = Duration("1s")
    """How long a call waits for a process that is ready and has room; then the client gets a 503."""
    memory: Annotated[ByteSize, ControlOnly()] = ByteSize("256MiB")
    """What one process may use; past it, it is ended and replaced."""
    concurrency: Annotated[int, Field(ge=1, le=100_000, strict=True)] = 100
    """Calls at a time per process; 1 by default for `lambda`."""
    max_body: ByteSize = ByteSize("1MiB")
    """The largest request body handed over; more is a 413."""
    reload: Annotated[Flag, ControlOnly()] = False
    """Whether the processes are replaced when a file under `path` changes."""

    not_yet: ClassVar[dict[str, str]] = {
        "environment": "", "schedule": "", "image": "", "wasm": "", "layers": "",
    }  # fmt: skip

    elsewhere: ClassVar[dict[str, str]] = {
        "min_workers": "write `workers`",
        "max_workers": "write `workers`",
        "timeout": "write `deadline`",
    }

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = {"handler": value}
        if isinstance(value, dict):
            # The defaults that depend on the kind.
            if value.get("kind") == "policy":
                value = {"deadline": Duration("1s"), **value}
            elif value.get("kind") == "lambda":
                value = {"concurrency": 1, **value}
        return value
