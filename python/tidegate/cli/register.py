# SPDX-License-Identifier: Apache-2.0
"""What `tidegate endpoint register` does."""

import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tidegate.cli.codes import FAILED, USAGE, stop
from tidegate.cli.live import find
from tidegate.config.units import Duration
from tidegate.events import fail
from tidegate.protocol import Channel, ProtocolError, Refused

_LOOK = 0.1
_STOPS = (signal.SIGTERM, signal.SIGINT)


def register(
    backend: str,
    settings: Mapping[str, Any],
    lease: str,
    command: Sequence[str],
    name: str | None,
    base: Path | None,
) -> int:
    """Registers an endpoint and renews it until the command ends or a signal comes; returns the exit code.

    A signal takes the endpoint out first and then goes to the command: what it still answers is not lost.
    """
    try:
        lease_ms = int(Duration(lease))
    except ValueError as error:
        stop(f"--lease: {error}", USAGE)
    socket = find(name, base).control_socket
    caught: list[int] = []
    for number in _STOPS:
        signal.signal(number, lambda number, _frame: caught.append(number))
    given = {key: value for key, value in settings.items() if value is not None}
    if problem := _put(socket, backend, given, lease_ms):
        stop(problem, FAILED)
    try:
        process = subprocess.Popen(command) if command else None
    except OSError as error:
        _put(socket, backend, given, 0)
        stop(f"{command[0]} cannot be started: {(error.strerror or str(error)).lower()}")
    renewed, told = time.monotonic(), ""
    while not caught and (process is None or process.poll() is None):
        time.sleep(_LOOK)
        if time.monotonic() >= renewed + lease_ms / 3000:
            renewed = time.monotonic()
            problem = _put(socket, backend, given, lease_ms)
            if problem and problem != told:
                fail(f"{problem}; trying again")
            told = problem
    _put(socket, backend, given, 0)
    if process is None:
        return 0
    if caught and process.poll() is None:
        process.send_signal(caught[0])
    code = process.wait()
    return code if code >= 0 else 128 - code


def _put(socket: Path, backend: str, settings: Mapping[str, Any], lease_ms: int) -> str:
    """Registers once; returns what is wrong, or nothing."""
    try:
        with Channel.to(socket) as channel:
            channel.call("endpoints.register", backend=backend, settings=dict(settings), lease_ms=lease_ms)
    except Refused as refusal:
        return "; ".join(f"{each['where']}: {each['message']}" for each in refusal.problems)
    except (OSError, ProtocolError) as error:
        return f"control does not answer: {error}"
    return ""
