# SPDX-License-Identifier: Apache-2.0
"""How a supervisor makes way for the one that is installed now: it looks at it first, then becomes it.

The process stays the same, so that its children stay its children, a service manager sees no change, and
it works as process 1. What is handed on is little: the rest the next one finds as after a supervisor that
was killed.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn

from tidegate.supervisor.identity import Identity
from tidegate.supervisor.loop import Loop
from tidegate.supervisor.processes import Process, Spec, restore_descriptor_limit, start

VARIABLE = "TIDEGATE_SUPERVISOR"
ENTRY = "tidegate.supervisor"
CHECK_WITHIN = 90.0
"""Seconds the installed code has to read the configuration; importing users' objects may take 60 of them."""
_MOST_OUTPUT = 1 << 20

Problems = list[dict[str, str]]


@dataclass(frozen=True)
class Handed:
    """What one supervisor hands to the next, as JSON in TIDEGATE_SUPERVISOR.

    Both ends may be of any version: what is missing has its default, what is unknown is passed over.

    Attributes:
        options: The fields of `Options`.
        instance: Its name.
        runtime_directory: Where instances are.
        user: Whom to become; empty for nobody.
        is_check: Whether only to say if it could take over.
        lock: The descriptor that holds the instance's lock.
        door: The listening descriptor of `supervisor.sock`.
        notify: What NOTIFY_SOCKET was.
        is_ready: Whether the service manager was told that the gateway serves.
        upgrade: The record that the command asks for.
    """

    options: dict[str, Any] = field(default_factory=dict)
    instance: str = ""
    runtime_directory: str = ""
    user: str = ""
    is_check: bool = False
    lock: int = -1
    door: int = -1
    notify: str = ""
    is_ready: bool = False
    upgrade: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str) -> "Handed":
        """The reverse of `write`.

        Raises:
            ValueError: It is no JSON object.
        """
        value = json.loads(text)
        if not isinstance(value, dict):
            raise ValueError(f"{VARIABLE} must be an object")
        known = {each.name for each in fields(cls)}
        return cls(**{key: found for key, found in value.items() if key in known})

    def write(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))


def examine(
    loop: Loop, handed: Handed, identity: Identity | None, answer: Callable[[dict[str, Any]], None]
) -> Process:
    """Has the installed code say whether it could take over.

    Args:
        loop: What calls back.
        handed: What it would get.
        identity: Whom it runs as: it reads the configuration, which may import users' code.
        answer: Called once with `{"version", "build"}`, or with `{"problems", "code"}`.

    Raises:
        OSError: It cannot be started.
    """
    read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        process = start(
            Spec(
                "check",
                ENTRY,
                environment={VARIABLE: handed.write()},
                descriptors={1: write, 2: write},
                identity=identity,
            )
        )
    except BaseException:
        os.close(read)
        raise
    finally:
        os.close(write)
    output = bytearray()

    def ended() -> None:
        timer.cancel()
        loop.unwatch(read)
        os.close(read)
        # It has closed its output: whatever it may still do, nobody waits for it.
        process.signal(signal.SIGKILL)
        process.reap()
        answer(_answer(bytes(output)))

    def readable(_events: int) -> None:
        try:
            data = os.read(read, 1 << 16)
        except BlockingIOError:
            return
        output.extend(data[: max(_MOST_OUTPUT - len(output), 0)])
        if not data:
            ended()

    timer = loop.after(CHECK_WITHIN, ended)
    loop.watch(read, readable)
    return process


def _answer(output: bytes) -> dict[str, Any]:
    lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
    try:
        said = json.loads(lines[-1])
        if isinstance(said, dict) and ("version" in said or "problems" in said):
            return said
    except (ValueError, IndexError):
        pass
    why = lines[-1].strip() if lines else "it said nothing"
    return {
        "problems": [{"where": "the installed package", "message": f"it cannot take over: {why}"}],
        "code": 1,
    }


def become(handed: Handed, arguments: Iterable[str], blocked: Iterable[signal.Signals]) -> NoReturn:
    """Becomes the installed supervisor: the same process, another program.

    Args:
        handed: What it gets; its descriptors must be inheritable.
        arguments: Shown by `ps`, and for nothing else.
        blocked: Signals that wait until it listens to them.

    Raises:
        OSError: It cannot be executed; everything is as it was.
    """
    environment: Mapping[str, str] = {**os.environ, VARIABLE: handed.write()}
    command = [sys.executable, "-P", "-m", ENTRY, *arguments]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    try:
        restore_descriptor_limit()
        os.execve(sys.executable, command, environment)
    except OSError:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        raise


def check(handed: Handed) -> dict[str, Any]:
    """What `examine` asks for: reads the configuration with the code that is installed."""
    from tidegate import _build, _engine
    from tidegate.config.problem import ConfigError
    from tidegate.control import controller
    from tidegate.control.sources import Sources

    assert controller.REFUSED
    options = handed.options
    directory = Path(handed.runtime_directory) / handed.instance
    try:
        compiled = Sources(options["sources"], directory, options["threads"]).read()
    except ConfigError as error:
        problems = [{"where": each.where, "message": each.message} for each in error.problems]
        return {"problems": problems, "code": controller.REFUSED}
    found = _engine.check_snapshot(compiled.snapshot.delta_json(None))
    if found:
        problems = [{"where": where, "message": message} for where, message in found]
        return {"problems": problems, "code": controller.REFUSED}
    return {"version": _build.version(), "build": _build.build()}
