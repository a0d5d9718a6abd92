# SPDX-License-Identifier: Apache-2.0
"""Runs one function worker from start to end."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import json
import os
import resource
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tidegate import _engine
from tidegate.functions import _asgi, _carry, _command, _given, _health, _lambda, _log, _policy
from tidegate.functions._errors import BodyTooLarge, LoadError
from tidegate.functions._resolve import resolve
from tidegate.functions._settings import LISTENER, FunctionSettings, Settings

EXIT_LOAD = 3
"""The exit code of a worker whose code cannot be loaded. One that was stuck ends with 4, one that reached
its memory limit with 5."""

MOST_THREADS = 32
STACK = 2 << 20
"""Bytes of stack of a thread that runs plain functions."""
DUMP_SIGNAL = signal.SIGUSR2
"""Makes every thread write where it stands; the watchdog sends it."""


@dataclass
class Target:
    """A function as the compiled module runs it; see `_engine.run_worker`."""

    name: str
    target: Callable[..., Any]
    is_policy: bool
    is_async: bool
    takes_next: bool
    is_streaming: bool
    deadline_ms: int
    max_body: int
    threads: int
    to_response: Callable[[Any], _engine.Response]
    bind: Callable[[str], Callable[..., Any]]


class Hooks:
    """What the compiled module calls back."""

    body_too_large = BodyTooLarge
    enter_request = _log.current.set

    def __init__(self, loop: asyncio.AbstractEventLoop, log: _log.Log) -> None:
        self._log = log
        self.new_spare = _carry.spares(loop)

    def report(self, request: _engine.Request, error: BaseException) -> None:
        """Writes why a call failed."""
        self._log.failure(f"the function failed: {type(error).__name__}: {error}", error, request)

    def complain(self, message: str) -> None:
        """Writes what is wrong with the worker itself."""
        self._log.write("error", message)


def to_response(value: Any) -> _engine.Response:
    """The response for what a function returned.

    Raises:
        TypeError: Nothing can be made of it.
    """
    if isinstance(value, str | bytes | bytearray | memoryview):
        return _engine.Response(value)
    if value is None:
        return _engine.Response(status=204)
    if isinstance(value, dict | list | int | float):
        return _engine.Response.json(value)
    raise TypeError(f"a function returns a Response, text, bytes, JSON or None, not {type(value).__name__}")


def run(settings: Settings) -> int:
    """Serves until SIGTERM; returns the exit code."""
    log = _log.install()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    lifespans: list[_asgi.Lifespan] = []
    try:
        _prepare(settings)
        targets = [_load(function, loop, lifespans) for function in settings.functions]
    except LoadError as error:
        _refuse(settings, log, error)
        return EXIT_LOAD
    # What was imported stays; the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    try:
        _serve(settings, loop, log, targets)
        for lifespan in lifespans:
            with contextlib.suppress(TimeoutError):
                loop.run_until_complete(_shut_down(lifespan, settings.grace_ms / 1000))
    finally:
        _log.finish()
    return 0


async def _shut_down(lifespan: _asgi.Lifespan, patience: float) -> None:
    async with asyncio.timeout(patience):
        await lifespan.shutdown()


def _prepare(settings: Settings) -> None:
    if settings.path:
        if not os.path.isdir(settings.path):
            raise LoadError(f"the folder {settings.path} of `path` is not there")
        sys.path.insert(0, settings.path)
    if settings.memory:
        _limit_memory(settings)


def _limit_memory(settings: Settings) -> None:
    """Limits the address space to what is used now plus `memory`, so that the limit is the user's own."""
    with open("/proc/self/statm", "rb") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    threads = sum(min(function.concurrency, MOST_THREADS) for function in settings.functions)
    wanted = used + settings.memory + threads * STACK
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, wanted))


def _load(
    settings: FunctionSettings, loop: asyncio.AbstractEventLoop, lifespans: list[_asgi.Lifespan]
) -> Target:
    handler = resolve(settings.handler)
    named = f"the handler {settings.handler!r}"
    if not callable(handler):
        raise LoadError(f"{named} is {type(handler).__name__}, which cannot be called")
    is_marked = getattr(handler, _policy.MARK, False)
    if settings.kind == "policy" and not is_marked:
        raise LoadError(f"{named} is no policy; write @policy above it")
    if settings.kind != "policy" and is_marked:
        raise LoadError(f"{named} is a @policy: its kind is policy, not {settings.kind}")
    is_check = getattr(handler, _health.MARK, False)
    if is_check and settings.kind != "health_check":
        raise LoadError(f"{named} is a @health_check: its kind is health_check, not {settings.kind}")
    if settings.kind == "health_check" and not is_check and handler is not _command.run:
        raise LoadError(f"{named} is no health check; write @health_check above it")
    target: Callable[..., Any] = handler
    is_async = _policy.is_async(handler)
    if settings.kind == "lambda":
        if is_async:
            raise LoadError(f"{named} is async; a lambda is a plain def (event, context)")
        target = _lambda.wrap(handler, settings)
    elif is_check:
        target = _health.wrap(handler)
    elif settings.kind == "asgi":
        lifespan = _asgi.Lifespan(handler)
        loop.run_until_complete(lifespan.startup())
        lifespans.append(lifespan)
        target, is_async = _asgi.wrap(handler, lifespan.state), True
    return Target(
        name=settings.name,
        target=target,
        is_policy=settings.kind == "policy",
        is_async=is_async,
        takes_next=settings.kind == "policy" and _policy.takes_next(handler),
        is_streaming=settings.kind == "asgi",
        deadline_ms=settings.deadline_ms,
        max_body=settings.max_body,
        threads=0 if is_async else min(settings.concurrency, MOST_THREADS),
        to_response=_lambda.to_response if settings.kind == "lambda" else to_response,
        bind=_bind(settings, handler),
    )


def _bind(settings: FunctionSettings, handler: Callable[..., Any]) -> Callable[[str], Callable[..., Any]]:
    takes = settings.kind == "policy" and _policy.takes_settings(handler)
    named = f"the handler {settings.handler!r}"
    if settings.settings:
        if not takes:
            raise LoadError(f"{named} has no parameter `settings`, and is that of a policy with settings")
        return _given.binder(handler, settings.settings)
    if takes:
        text = "whose settings a class of its own has (tidegate.CustomPolicy); `type: python` has none for it"
        raise LoadError(f"{named} takes `settings`: it is for a policy {text}")
    return _given.nothing


def _refuse(settings: Settings, log: _log.Log, error: LoadError) -> None:
    if error.__cause__ is not None:
        log.failure(str(error), error.__cause__)
    else:
        log.write("error", str(error))
    _tell(settings, {"ready": False, "problem": str(error)})


def _tell(settings: Settings, answer: dict[str, object]) -> None:
    if settings.ready is not None:
        # Nobody may be waiting any more.
        with contextlib.suppress(OSError), open(settings.ready, "w") as file:
            file.write(json.dumps(answer) + "\n")


def _serve(settings: Settings, loop: asyncio.AbstractEventLoop, log: _log.Log, targets: list[Target]) -> None:
    def on_start(worker: _engine.Worker) -> None:
        def drain() -> None:
            worker.drain()
            loop.call_later(settings.grace_ms / 1000, loop.stop)

        # The supervisor decides about Ctrl-C.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        loop.add_signal_handler(signal.SIGTERM, drain)
        _tell(settings, {"ready": True})

    threading.stack_size(STACK)
    # The watchdog reads it when the interpreter cannot run anything any more.
    with tempfile.TemporaryFile() as dump:
        faulthandler.register(DUMP_SIGNAL, file=dump, all_threads=True)
        options = {
            "log_descriptor": log.descriptor,
            "log_offset_s": log.offset_s,
            "dump_descriptor": dump.fileno(),
            "dump_signal": int(DUMP_SIGNAL),
            "capacity": max(function.concurrency for function in settings.functions),
        }
        _engine.run_worker(loop, LISTENER, targets, Hooks(loop, log), options, on_start)
        faulthandler.unregister(DUMP_SIGNAL)
