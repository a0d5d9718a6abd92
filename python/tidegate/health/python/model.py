# SPDX-License-Identifier: Apache-2.0
"""Settings of `python`."""

from __future__ import annotations

from typing import Literal

from tidegate.config.pace import Pace
from tidegate.config.types import FunctionRef


class PythonCheck(Pace):
    """An endpoint is well if a `@health_check` of yours says so."""

    type: Literal["python"] = "python"
    """The room."""
    function: FunctionRef
    """The function of kind `health_check` that is called for each endpoint."""
