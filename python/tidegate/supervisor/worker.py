# SPDX-License-Identifier: Apache-2.0
"""Starts one function worker and hears from it whether its code could be loaded."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from tidegate.protocol import Pool
from tidegate.supervisor.identity import Identity
from tidegate.supervisor.loop import Loop
from tidegate.supervisor.processes import Process, Spec, start

ENTRY = Path(__file__).absolute().parents[1] / "_worker.py"
"""Run by its path: the users' own virtual environment does not know our package."""

_READY = 4
"""The descriptor on which a worker says that it is ready."""


def key_of(pool: str, number: int, generation: int = 0) -> str:
    """The key of a worker's socket; after an upgrade those of before are there for a while, too."""
    return f"worker:{pool}:{number}" + (f":{generation}" if generation else "")


def launch(
    loop: Loop,
    pool: Pool,
    number: int,
    listener: int,
    identity: Identity | None,
    on_outcome: Callable[[str], None],
) -> Process:
    """Starts a worker.

    Args:
        loop: What calls back.
        pool: What it is to run.
        number: Which one of the pool it is.
        listener: Its listening socket.
        identity: Whom it runs as.
        on_outcome: Called once: with an empty text when it serves, else with why it cannot.

    Raises:
        OSError: The process could not be started.
    """
    settings = {**pool["settings"], "pool": pool["name"], "number": number, "ready": _READY}
    read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        process = start(
            Spec(
                key_of(pool["name"], number),
                script=ENTRY,
                environment={"TIDEGATE_WORKER": json.dumps(settings)},
                descriptors={3: listener, _READY: write},
                interpreter=pool["interpreter"],
                identity=identity,
                directory=Path(pool["directory"]) if pool["directory"] else None,
            )
        )
    except BaseException:
        os.close(read)
        raise
    finally:
        os.close(write)

    received = bytearray()

    def readable(_events: int) -> None:
        try:
            data = os.read(read, 1 << 16)
        except BlockingIOError:
            return
        received.extend(data)
        if data and b"\n" not in data:
            return
        loop.unwatch(read)
        os.close(read)
        on_outcome(_outcome(bytes(received)))

    loop.watch(read, readable)
    return process


def _outcome(line: bytes) -> str:
    if not line:
        return "it ended before it was ready; what it printed is in the log"
    try:
        said = json.loads(line)
        return "" if said["ready"] else str(said["problem"])
    except (ValueError, KeyError, TypeError):
        return "it said something else than that it is ready"
