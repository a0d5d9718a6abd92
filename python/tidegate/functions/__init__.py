# SPDX-License-Identifier: Apache-2.0
"""What user code needs to take part in a request: policies, functions and their requests and responses.

This package runs inside function workers, in the user's own virtual environment if one is named. So it
uses the standard library, the compiled module and `tidegate.events` only. Start with `policy`; `README.md`
beside this file tells the kinds of functions and their limits.
"""

from __future__ import annotations

from collections.abc import MutableMapping

from tidegate._engine import CallNext, Headers, Request, Response
from tidegate.functions._errors import BodyTooLarge
from tidegate.functions._health import HealthEndpoint, health_check
from tidegate.functions._policy import policy
from tidegate.functions._view import Identity

MutableMapping.register(Headers)

__all__ = [
    "BodyTooLarge",
    "CallNext",
    "Headers",
    "HealthEndpoint",
    "Identity",
    "Request",
    "Response",
    "health_check",
    "policy",
]
