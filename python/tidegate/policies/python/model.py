# SPDX-License-Identifier: Apache-2.0
"""Settings of `python`."""

from __future__ import annotations

from typing import ClassVar, Literal

from tidegate.config.policy_settings import PolicySettings
from tidegate.config.types import ByteSize, FunctionRef


class PythonPolicy(PolicySettings):
    """A `@policy` of section `functions` sees the request and, if it asks for it, the response."""

    in_engine: ClassVar[bool] = False

    type: Literal["python"] = "python"
    """The room."""
    function: FunctionRef
    """The function's name; its `kind` is `policy`."""
    body: ByteSize | None = None
    """The most of a request's body that the policy is handed; a longer one is a 413. The body is then read
    whole before the policy runs. Without it bodies stream past the policy, and `request.body()` fails."""
