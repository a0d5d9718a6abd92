# SPDX-License-Identifier: Apache-2.0
"""Drives tidegate-load (benches/load), which asks and answers on the other core."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benches.proxy import certificate
from benches.proxy.machine import raise_descriptors

ROOT = Path(__file__).resolve().parents[2]


class LoadError(Exception):
    """The load tool refused a command or ended."""


def build() -> Path:
    """Builds the load tool in the release profile and returns its path."""
    command = ["cargo", "build", "--release", "-q", "-p", "tidegate-load", "--message-format=json"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable"):
            return Path(message["executable"])
    raise LoadError("cargo built no tidegate-load")


class Load:
    """A running load tool with its two origin servers."""

    def __init__(self, program: Path, core: int) -> None:
        def prepare() -> None:
            os.sched_setaffinity(0, {core})
            raise_descriptors()

        self._process = subprocess.Popen(
            [str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=prepare,
        )
        ready = self._read()
        self.origins: list[str] = ready["origins"]
        """`address:port` of each origin server."""
        self.sink: str = ready["sink"]
        """`address:port` that takes logs over TCP."""
        self._folder = tempfile.TemporaryDirectory(prefix="tidegate-bench-")
        self.certificate = certificate.make(Path(self._folder.name))
        """What proxies show where clients speak TLS."""

    def run(self, moment: Callable[[str], None], **values: str | float) -> dict[str, Any]:
        """Runs one load and returns its figures; calls `moment` with "begin" and "end" of the window."""
        self._send("run", values)
        while "phase" in (line := self._read()):
            moment(line["phase"])
        return line

    def idle(self, **values: str | float) -> dict[str, Any]:
        """Opens connections, gets one answer on each and keeps them open until `drop`."""
        self._send("idle", values)
        return self._read()

    def drop(self) -> int:
        """Closes the idle connections; returns how many the proxy had kept open."""
        self._send("drop", {})
        return int(self._read()["dropped"])

    def lines(self) -> int:
        """Log lines received so far."""
        self._send("lines", {})
        return int(self._read()["lines"])

    def close(self) -> None:
        """Ends the load tool."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._folder.cleanup()

    @property
    def pid(self) -> int:
        """The load tool's process."""
        return self._process.pid

    def _send(self, word: str, values: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(
            " ".join([word, *(f"{name}={value}" for name, value in values.items())]) + "\n"
        )
        self._process.stdin.flush()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise LoadError("the load tool ended")
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise LoadError(found["error"])
        return found
