# SPDX-License-Identifier: Apache-2.0
"""What the supervisor tells a worker, as JSON in TIDEGATE_WORKER."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Kind = Literal["policy", "function", "lambda", "asgi", "health_check"]
LISTENER = 3
"""The descriptor of the listening socket."""


@dataclass(frozen=True)
class FunctionSettings:
    """One function of the worker.

    Attributes:
        name: Its name in the configuration, which requests are addressed to.
        handler: `package.module:attribute`.
        kind: What it is.
        deadline_ms: How long one call may take, in milliseconds.
        concurrency: Calls at a time in this process.
        max_body: The largest request body that is handed over, in bytes.
        memory: What Lambda-style code is told of its memory, in bytes.
        settings: The class of the settings that a policy is handed, `package.module:Class`; empty for none.
    """

    name: str
    handler: str
    kind: Kind = "function"
    deadline_ms: int = 30_000
    concurrency: int = 1
    max_body: int = 1 << 20
    memory: int = 0
    settings: str = ""


@dataclass(frozen=True)
class Settings:
    """One worker.

    Attributes:
        functions: What it serves; several when they share a pool.
        path: The folder that their modules are imported from; empty for none.
        memory: Bytes that user code may take on top of what the worker needs itself; 0 for no limit.
        grace_ms: How long calls in flight may go on after SIGTERM, in milliseconds.
        ready: A descriptor to write one JSON line to once requests are served, or when that failed
            (`{"ready": true}`, `{"ready": false, "problem": TEXT}`); None for none.
        pool: The pool's name, for the log.
        number: Which process of the pool it is.
    """

    functions: list[FunctionSettings] = field(default_factory=list)
    path: str = ""
    memory: int = 0
    grace_ms: int = 30_000
    ready: int | None = None
    pool: str = ""
    number: int = 0


def read(text: str) -> Settings:
    """Reads the settings.

    Raises:
        ValueError: They are not what `Settings` says.
    """
    data: Any = json.loads(text)
    if not isinstance(data, dict) or not isinstance(data.get("functions"), list) or not data["functions"]:
        raise ValueError("TIDEGATE_WORKER is an object with a list of functions")
    try:
        functions = [FunctionSettings(**function) for function in data.pop("functions")]
        settings = Settings(functions=functions, **data)
    except TypeError as error:
        raise ValueError(f"TIDEGATE_WORKER: {error}") from None
    for function in functions:
        if function.kind not in get_args(Kind):
            raise ValueError(f"the function {function.name} has an unknown kind {function.kind!r}")
    return settings
