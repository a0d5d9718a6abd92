# SPDX-License-Identifier: Apache-2.0
"""The `@health_check` decorator, and how a check is called."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from tidegate._engine import Request, Response
from tidegate.functions._policy import is_async

MARK = "__tidegate_health_check__"
_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class HealthEndpoint:
    """The endpoint that a check is asked about.

    Attributes:
        address: As the configuration or a source has it: `IP:port`, `[IPv6]:port`, `name:port`, `unix:/path`.
    """

    address: str

    @property
    def host(self) -> str:
        """The part before the port, without brackets; the path of a Unix socket."""
        if self.address.startswith("unix:"):
            return self.address.removeprefix("unix:")
        return self.address.rpartition(":")[0].removeprefix("[").removesuffix("]")

    @property
    def port(self) -> int:
        """The port; 0 of a Unix socket."""
        return 0 if self.address.startswith("unix:") else int(self.address.rpartition(":")[2])


def health_check(function: _Function) -> _Function:
    """Marks a function as a health check; it can still be called as it is.

    Args:
        function: `async def` or `def (endpoint: HealthEndpoint)`, which returns True for an endpoint that
            is well, False for one that is not, or a text that says what is wrong with it.

    Raises:
        TypeError: It takes other parameters.

    Example:
        >>> @health_check
        ... async def lag(endpoint):
        ...     seconds = await replication_lag(endpoint.host, endpoint.port)
        ...     return seconds < 5 or f"replication is {seconds} s behind"
    """
    required = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    if len(required) != 1:
        name = getattr(function, "__name__", repr(function))
        raise TypeError(f"the health check {name} must take (endpoint)")
    setattr(function, MARK, True)
    return function


def wrap(function: Callable[..., Any]) -> Callable[[Request], Any]:
    """A check as an ordinary function: 204 for well, 503 and a text for anything else.

    The request's body is `{"address": text}`.
    """
    if is_async(function):

        async def called(request: Request) -> Response:
            return _answer(await function(HealthEndpoint(json.loads(await request.body())["address"])))

        return called

    def waited(request: Request) -> Response:
        return _answer(function(HealthEndpoint(json.loads(request.read())["address"])))

    return waited


def _answer(said: object) -> Response:
    if said is True:
        return Response(status=204)
    if said is False:
        return Response("the check says no", 503)
    if isinstance(said, str):
        return Response(said, 503)
    # A forgotten `return` must not pass for health.
    raise TypeError(f"a health check returns True, False or a text, not {type(said).__name__}")
