# SPDX-License-Identifier: Apache-2.0
"""Lets a task that already exists go on with a coroutine that was started without one.

The worker starts a coroutine by hand while a spare task is current. Most end right there and cost no
task. One that waits takes the spare task over: asyncio, and libraries that remember the task they were
entered in, see the same task before and after.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

from tidegate._engine import Request

_NOTHING: Any = object()


class Carry(Coroutine[Any, Any, None]):
    """What a spare task runs: nothing until `take`, then the coroutine it was given."""

    __slots__ = ("__weakref__", "_context", "_coroutine", "_gate", "_loop", "_request", "_yielded")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._gate: asyncio.Future[None] | None = None
        self._coroutine: Coroutine[Any, Any, Any] | None = None
        self._yielded: Any = _NOTHING

    def take(
        self, request: Request, coroutine: Coroutine[Any, Any, Any], context: Context, yielded: Any
    ) -> None:
        """Takes over a coroutine that waits for `yielded`; the task goes on with it at its next step."""
        self._request, self._coroutine, self._context, self._yielded = request, coroutine, context, yielded
        # Cancelled means that the code cancelled its own task before it waited: that wakes the task too.
        if self._gate is not None and not self._gate.done():
            self._gate.set_result(None)

    def send(self, value: Any) -> Any:
        """The task's step."""
        if self._coroutine is None:
            self._gate = self._loop.create_future()
            # What awaiting a future does, told to the task without a coroutine.
            self._gate._asyncio_future_blocking = True
            return self._gate
        if self._yielded is not _NOTHING:
            yielded, self._yielded = self._yielded, _NOTHING
            return yielded
        return self._run(self._coroutine.send, value)

    def throw(self, error: Any, value: Any = None, traceback: Any = None, /) -> Any:
        """The task's step when it was cancelled or what it waits for failed."""
        if isinstance(error, type):
            error = error() if value is None else value
        if self._coroutine is None:
            raise error
        self._yielded = _NOTHING
        return self._run(self._coroutine.throw, error)

    def close(self) -> None:
        """Ends the coroutine."""
        if self._coroutine is not None:
            self._coroutine.close()

    def __await__(self) -> Any:
        raise TypeError("only a task runs it")

    def __getattr__(self, name: str) -> Any:
        # inspect and anyio ask a task's coroutine for its frame and state.
        if name.startswith("cr_") and self._coroutine is not None:
            return getattr(self._coroutine, name)
        raise AttributeError(name)

    def _run(self, call: Callable[[Any], Any], argument: Any) -> Any:
        request = self._request
        request._step()
        try:
            yielded = self._context.run(call, argument)
        except StopIteration as stop:
            request._finish(stop.value)
        except GeneratorExit:
            raise
        except BaseException as error:
            request._fail(error)
        else:
            request._rest()
            return yielded
        # The outcome is on its way to the node; a task that failed would only say so in the log again.
        raise StopIteration


def spares(loop: asyncio.AbstractEventLoop) -> Callable[[], tuple[Carry, asyncio.Task[None]]]:
    """A maker of spare tasks."""

    def new_spare() -> tuple[Carry, asyncio.Task[None]]:
        carry = Carry(loop)
        return carry, loop.create_task(carry, name="tidegate")

    return new_spare
