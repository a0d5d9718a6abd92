# SPDX-License-Identifier: Apache-2.0
"""Weights of endpoints computed in Python: the `@weights` decorator and what such a function is given.

The function runs every few seconds in a process of its own that control starts, never on a request's way.
`docs/guides/balancing.md` shows one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

MARK = "__tidegate_weights__"
_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """What the node knows of one endpoint."""

    address: str
    """As configured."""
    zone: str | None
    """Where it stands, if that is configured."""
    weight: int
    """As configured."""
    health: str
    """`up`, `down`, `excluded` by passive health, or `unchecked`."""
    in_flight: int
    """Requests sent and not yet answered in full."""
    connections: int
    """Open connections, idle ones included."""
    requests: int
    """Requests ever sent, by this node since it started."""
    failures: int
    """Failures ever seen."""


def weights(function: _Function) -> _Function:
    """Marks a function that computes weights; it can still be called as it is.

    Args:
        function: `def` or `async def (endpoints)`: takes a list of `EndpointStatus` and returns a mapping
            from addresses to numbers, 0 to 1000, by which the configured weights are multiplied. An address
            that is left out keeps its weight; 0 takes no new requests as long as another endpoint can.

    Raises:
        TypeError: It takes other parameters.

    Example:
        >>> @weights
        ... def prefer_the_idle(endpoints):
        ...     return {each.address: 1 / (1 + each.in_flight) for each in endpoints}
    """
    parameters = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if len(parameters) != 1 or parameters[0].kind not in kinds:
        name = getattr(function, "__name__", repr(function))
        raise TypeError(f"the function {name} must take (endpoints)")
    setattr(function, MARK, True)
    return function
