# SPDX-License-Identifier: Apache-2.0
"""The `@policy` decorator."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

MARK = "__tidegate_policy__"
_Function = TypeVar("_Function", bound=Callable[..., Any])


def policy(function: _Function) -> _Function:
    """Marks a function as a policy; it can still be called as it is.

    Args:
        function: `async def` or `def (request)`, which returns None to let the request pass, with what
            it changed in it, or a `Response` to answer itself. Or `async def (request, call_next)`,
            which awaits `call_next(request)` and returns that response, changed or not, or another one.
            The policy of a `CustomPolicy` has a last parameter `settings` for an object of that class.

    Raises:
        TypeError: It takes other parameters, or a plain `def` takes `call_next`.

    Example:
        >>> @policy
        ... async def partners_only(request):
        ...     if "x-partner" not in request.headers:
        ...         return Response.problem(403, "this API is for partners")
    """
    takes_next(function)
    setattr(function, MARK, True)
    return function


def takes_next(function: Callable[..., Any]) -> bool:
    """Whether a policy has the parameter for `call_next`.

    Raises:
        TypeError: Its parameters are not a policy's.
    """
    name = getattr(function, "__name__", repr(function))
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = _required(function)
    if takes_settings(function):
        del parameters[-1]
    if not 1 <= len(parameters) <= 2 or any(parameter.kind not in kinds for parameter in parameters):
        raise TypeError(
            f"the policy {name} must take (request) or (request, call_next), and may take `settings`"
        )
    if len(parameters) == 1:
        return False
    if not is_async(function):
        raise TypeError(f"the policy {name} takes call_next, so it must be an `async def` that awaits it")
    return True


def takes_settings(function: Callable[..., Any]) -> bool:
    """Whether a policy's last parameter is the one for its settings."""
    parameters = _required(function)
    last = parameters[-1] if len(parameters) > 1 else None
    return last is not None and last.name == "settings" and last.kind is not last.POSITIONAL_ONLY


def _required(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object's own method is meant
    )
