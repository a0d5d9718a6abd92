# SPDX-License-Identifier: Apache-2.0
"""Has users' functions compute weights and gives them to the node.

Each backend with `weights` has a process of its own (`_weigh`), which is asked every few seconds, one
question at a time. What fails or takes too long leaves the weights before in force; a process that hangs
is replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from dataclasses import fields
from typing import Any

from tidegate.control.apply import Node
from tidegate.control.weighers import Weigher
from tidegate.events import Events
from tidegate.protocol import ProtocolError, Refused
from tidegate.weighing import EndpointStatus

START_TIMEOUT = 30.0
"""Seconds for a process to import its code."""
_LONGEST_ANSWER = 16 << 20
_FIELDS = [field.name for field in fields(EndpointStatus)]


class _Failed(Exception):
    """There are no new weights; the text says why. The process is replaced."""


class _Refused(_Failed):
    """The same, but the process is well."""


class Weighing:
    """All functions for weights of a configuration."""

    def __init__(self, node: Node, events: Events) -> None:
        self._node = node
        self._events = events
        self._running: dict[Weigher, _Running] = {}

    async def follow(self, weighers: list[Weigher]) -> None:
        """Starts and ends what the configuration in force wants."""
        gone = {old.backend: self._running.pop(old) for old in list(self._running) if old not in weighers}
        for running in gone.values():
            await running.close()
        for weigher in weighers:
            if weigher not in self._running:
                self._running[weigher] = running = _Running(self, weigher)
                if weigher.backend in gone:
                    # What was computed before counts until the new code has answered.
                    running.weights = gone[weigher.backend].weights
        if gone:
            await self.push()

    async def push(self) -> None:
        """Gives the node all weights there are."""
        weights = {each.weigher.backend: each.weights for each in self._running.values()}
        # A node that is gone gets them when the next one is up.
        with contextlib.suppress(ProtocolError, Refused):
            await self._node.call("weights.set", timeout=5.0, weights=weights)

    async def node_up(self) -> None:
        """Gives a node that has just come up what another knew."""
        if self._running:
            await self.push()

    async def endpoints(self, backend: str) -> list[dict[str, Any]]:
        """What the node knows of the endpoints of a backend.

        Raises:
            _Failed: There is no node that would tell.
        """
        try:
            reply = await self._node.call("status", timeout=5.0)
        except (ProtocolError, Refused) as error:
            raise _Failed(f"the node did not tell its endpoints: {error}") from error
        found = [each["endpoints"] for each in reply["backends"] if each["name"] == backend]
        return [{name: each[name] for name in _FIELDS} for each in found[0]] if found else []

    def say(self, backend: str, error: str) -> None:
        """Logs that a backend's weights stay as they are, or that they are computed again."""
        if error:
            self._events.warning(f"weights of {backend} stay as they are: {error}")
        else:
            self._events.info(f"weights of {backend} are computed again")

    def told(self) -> list[dict[str, Any]]:
        """For `tidegate status`."""
        return [each.told() for each in self._running.values()]

    async def close(self) -> None:
        """Ends all of it."""
        for running in self._running.values():
            await running.close()
        self._running.clear()


class _Running:
    """One function: its process, and what it said last."""

    def __init__(self, weighing: Weighing, weigher: Weigher) -> None:
        self.weigher = weigher
        self.weights: dict[str, float] = {}
        self._weighing = weighing
        self._process: asyncio.subprocess.Process | None = None
        self._answered: float | None = None
        self._error = ""
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            try:
                fresh = await self._ask(await self._weighing.endpoints(self.weigher.backend))
            except _Failed as failure:
                if not isinstance(failure, _Refused):
                    await self._end()
                self._note(str(failure))
            else:
                self._note("")
                self._answered = time.monotonic()
                if fresh != self.weights:
                    self.weights = fresh
                    await self._weighing.push()
            await asyncio.sleep(self.weigher.every_ms / 1000)

    def _note(self, error: str) -> None:
        if error != self._error:
            self._error = error
            self._weighing.say(self.weigher.backend, error)

    async def _ask(self, endpoints: list[dict[str, Any]]) -> dict[str, float]:
        """The function's answer.

        Raises:
            _Failed: It has none, or not in time.
        """
        patience = START_TIMEOUT
        try:
            if self._process is None:
                self._process = await self._start()
                await self._exchange(b"", patience)
            patience = self.weigher.deadline_ms / 1000
            line = await self._exchange(json.dumps(endpoints).encode() + b"\n", patience)
        except TimeoutError:
            raise _Failed(f"{self.weigher.handler} took over {patience:g} s") from None
        except (OSError, ValueError) as error:
            raise _Failed(f"{self.weigher.handler}: {error}") from error
        answer = json.loads(line)
        if "error" in answer:
            raise _Refused(f"{self.weigher.handler} {answer['error']}")
        return {str(address): float(weight) for address, weight in answer["weights"].items()}

    async def _exchange(self, question: bytes, patience: float) -> bytes:
        """The next line of the process.

        Raises:
            TimeoutError: It does not come within `patience` seconds.
            _Failed: The process ended.
        """
        assert self._process is not None
        assert self._process.stdin is not None and self._process.stdout is not None
        async with asyncio.timeout(patience):
            self._process.stdin.write(question)
            await self._process.stdin.drain()
            line = await self._process.stdout.readline()
        if not line:
            raise _Failed(f"the process of {self.weigher.handler} ended; its output is above")
        return line

    async def _start(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "tidegate.control._weigh", self.weigher.handler,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=self.weigher.directory,
            limit=_LONGEST_ANSWER,
        )  # fmt: skip

    async def _end(self) -> None:
        """Ends the process, whatever it does."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def close(self) -> None:
        """Ends the questions and the process."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._end()

    def told(self) -> dict[str, Any]:
        """What `tidegate status` shows."""
        age = None if self._answered is None else time.monotonic() - self._answered
        return {
            "backend": self.weigher.backend,
            "handler": self.weigher.handler,
            "weights": self.weights,
            "age_s": age if age is None else round(age, 1),
            "error": self._error,
        }
