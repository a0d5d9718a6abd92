# SPDX-License-Identifier: Apache-2.0
"""From the backends of a configuration to the processes that they want."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from tidegate.config.backend import Backend
from tidegate.config.processes import Processes
from tidegate.config.secret import Secret
from tidegate.protocol import OriginSpec


class Wanted(TypedDict):
    """What one backend wants: `count` processes as `spec` says; times are in milliseconds."""

    spec: OriginSpec
    count: int
    start_timeout_ms: int
    has_check: bool


def wanted(backends: Mapping[str, Backend], folder: Path, user: str | None) -> dict[str, Wanted]:
    """By backend, for those that have `processes`.

    Args:
        backends: By name.
        folder: What relative paths start from.
        user: Whom they run as unless they say so.
    """
    return {
        name: Wanted(
            spec=_spec(backend.processes, folder, user),
            count=backend.processes.count,
            start_timeout_ms=int(backend.processes.start_timeout),
            has_check=backend.health_check is not None,
        )
        for name, backend in backends.items()
        if backend.processes is not None
    }


def _spec(processes: Processes, folder: Path, user: str | None) -> OriginSpec:
    environment = {
        name: value.reveal() if isinstance(value, Secret) else value
        for name, value in processes.environment.items()
    }
    directory = str((folder / (processes.directory or ".")).resolve())
    # A virtual environment is not resolved: its programs find it by the path that they are run by.
    venv = str(folder / processes.venv) if processes.venv else ""
    account = processes.user or user
    text = json.dumps([processes.command, environment, directory, venv, account], sort_keys=True)
    return OriginSpec(
        hash=hashlib.blake2b(text.encode(), digest_size=16).hexdigest(),
        command=processes.command,
        environment=environment,
        directory=directory,
        venv=venv,
        user=account,
        drain_timeout_ms=int(processes.drain_timeout),
        stop_timeout_ms=int(processes.stop_timeout),
    )


def patience_of(spec: OriginSpec) -> dict[str, int]:
    """What of a process may change while it runs: how long its end may take."""
    return {"drain_timeout_ms": spec["drain_timeout_ms"], "stop_timeout_ms": spec["stop_timeout_ms"]}
