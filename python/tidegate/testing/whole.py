# SPDX-License-Identifier: Apache-2.0
"""Supervisor, control, node and function workers as `tidegate run` starts them."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tidegate.config.gateway import Gateway
from tidegate.config.problem import ConfigError, Problem
from tidegate.protocol import Channel, Message, ProtocolError, Refused

from .rebind import Source, environment, listener_names, loopback, rebind

_MODULE = """
import pathlib, pickle
gateway = pickle.loads(pathlib.Path(__file__).with_suffix(".pickle").read_bytes())
"""
NAME = "test"


class WholeGateway:
    """The way of `gateway(..., processes=True)`."""

    def __init__(self, folder: Path, threads: int, timeout: float) -> None:
        """Starts nothing yet; `timeout` in seconds bounds each answer."""
        self.folder = folder / "run" / NAME
        self.log_file = folder / "access.jsonl"
        self.output_file = folder / "run.out"
        self.ports: dict[str, int] = {}
        self._base = folder
        self._threads = threads
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The supervisor's process identifier."""
        assert self._process is not None
        return self._process.pid

    def start(self, source: Source) -> None:
        """Starts `tidegate run` and waits until the configuration is served.

        Raises:
            RuntimeError: It did not start; the text has its output.
        """
        self._write(source)
        (self._base / "configured.py").write_text(_MODULE)
        command = [sys.executable, "-m", "tidegate", "run", "configured:gateway", "--name", NAME]
        command += ["--runtime-directory", str(self._base / "run"), "--threads", str(self._threads)]
        if os.geteuid() == 0:
            # A test's files and interpreter are often its user's alone.
            command += ["--user", "root"]
        with open(self.output_file, "ab") as output:
            self._process = subprocess.Popen(
                command,
                env=environment(self._base),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        end = time.monotonic() + self._timeout
        while not self._serves():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the gateway did not start\n{self.output()}")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.02)

    def _serves(self) -> bool:
        try:
            status = self.call("status")
        except (OSError, ProtocolError, Refused):
            return False
        return int(status["snapshot"]) > 0

    def apply(self, source: Source) -> Message:
        """Rewrites the configuration and has control read it.

        Raises:
            ConfigError: Control refused it.
        """
        self._write(source)
        try:
            with Channel.to(self.folder / "control.sock", self._timeout) as channel:
                return channel.call("reload", timeout=self._timeout)
        except Refused as refused:
            problems = [Problem(problem["message"], path=problem["where"]) for problem in refused.problems]
            raise ConfigError(problems) from refused

    def call(self, kind: str, /, **fields: Any) -> Message:
        """Asks the node, on a connection of its own: the node may have been replaced meanwhile."""
        with Channel.to(self.folder / "node.sock", self._timeout) as channel:
            return channel.call(kind, timeout=self._timeout, **fields)

    def output(self) -> str:
        """What all processes wrote to standard output and error."""
        with contextlib.suppress(OSError):
            return self.output_file.read_text(errors="replace")
        return ""

    def stop(self) -> int:
        """Ends everything and returns the supervisor's exit code."""
        if self._process is None:
            return 0
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(self._timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _write(self, source: Source) -> None:
        gateway = self._bound(source)
        temporary = self._base / ".configured"
        temporary.write_bytes(pickle.dumps(gateway))
        temporary.rename(self._base / "configured.pickle")

    def _bound(self, source: Source) -> Gateway:
        """Chooses free ports. The supervisor binds them itself, so they are only free a moment before."""
        held = []
        for name in listener_names(source.gateway):
            if name not in self.ports:
                written = "" if name == "admin" else source.gateway.listeners[name].address
                address = loopback(written)
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                probe = socket.create_server((address, 0), family=family)
                held.append(probe)
                self.ports[name] = probe.getsockname()[1]
        for probe in held:
            probe.close()
        return rebind(source, self.ports, self.log_file)
