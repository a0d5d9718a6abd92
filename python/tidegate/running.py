# SPDX-License-Identifier: Apache-2.0
"""A gateway that a script starts from its models; begin at `Gateway.running`.

The same processes that `tidegate run` starts, with the script in the place of the file. The test kit
(`tidegate.testing.gateway`) is made of the same parts and differs in where it listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from tidegate.config.gateway import Gateway
from tidegate.config.problem import ConfigError, Problem
from tidegate.config.secret import pickled
from tidegate.protocol import Channel, Message, ProtocolError, Refused

Request = Mapping[str, Any] | str
"""`GET http://shop.example/x`, or `{"method", "url", "headers": [[name, value]], "client", "listener"}`."""

_MODULE = "tidegate_running"
_CODE = """
import pathlib, pickle
gateway = pickle.loads(pathlib.Path(__file__).with_suffix(".pickle").read_bytes())
"""
_BEYOND_GRACE = 15.0
"""Seconds that processes have to end beyond `graceful_stop`; the supervisor itself kills after 5 of them."""


class Way(Protocol):
    """How the processes are started and spoken to."""

    @property
    def folder(self) -> Path:
        """Where their sockets are."""

    @property
    def pid(self) -> int:
        """The process that was started."""

    def call(self, kind: str, /, **fields: Any) -> Message:
        """Asks the node."""

    def output(self) -> str:
        """What was written to standard output and error."""


class Handle(ABC):
    """A gateway that was started from here, for `with` and `async with`; the methods block for a moment."""

    _way: Way

    @abstractmethod
    def start(self) -> Self:
        """Starts the gateway; `with` does so."""

    @abstractmethod
    def stop(self) -> None:
        """Ends every process; `with` does so."""

    @property
    @abstractmethod
    def ports(self) -> dict[str, int]:
        """The port of each listener that has one, `admin` among them."""

    @property
    def pid(self) -> int:
        """The process that was started: the supervisor, or the node where it stands alone."""
        return self._way.pid

    @property
    def port(self) -> int:
        """The port of the first listener."""
        return next(iter(self.ports.values()))

    @property
    def runtime_directory(self) -> Path:
        """Where the sockets of the instance are."""
        return self._way.folder

    def call(self, kind: str, /, **fields: Any) -> Message:
        """Sends the node a message of its control protocol and returns the reply."""
        return self._way.call(kind, **fields)

    def status(self) -> Message:
        """The node's status: `snapshot`, `listeners`, `backends`, ..."""
        return self._way.call("status")

    def explain(self, request: Request) -> dict[str, Any]:
        """What the running node would do with `request` now."""
        decision: dict[str, Any] = self._way.call("decide", request=question(request))["decision"]
        return decision

    def why(self, request_id: str) -> dict[str, Any]:
        """What the node did with the request of that identifier."""
        entry: dict[str, Any] = self._way.call("why", request_id=request_id)["entry"]
        return entry

    def output(self) -> str:
        """What the processes wrote to standard output and error."""
        return self._way.output()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        except (AssertionError, RuntimeError) as failure:
            if error is None:
                raise
            error.add_note(str(failure))

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)


class Processes:
    """Supervisor, control, node and function workers, as `tidegate run` starts them.

    Attributes:
        folder: Where their sockets are.
        output_file: What they write to standard output and error.
    """

    def __init__(self, base: Path, name: str, threads: int | None, timeout: float) -> None:
        """Starts nothing yet.

        Args:
            base: An empty folder, for everything that is written.
            name: What the instance is called.
            threads: Threads of the node; what the configuration says if left out.
            timeout: Seconds for the start and for each answer.
        """
        self.folder = base / "run" / name
        self.output_file = base / "run.out"
        self._base = base
        self._name = name
        self._threads = threads
        self._timeout = timeout
        self._patience = timeout
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The supervisor's process identifier."""
        assert self._process is not None
        return self._process.pid

    def start(self, gateway: Gateway) -> None:
        """Starts `tidegate run` and waits until the configuration is served.

        Raises:
            RuntimeError: It did not start; the text has its output.
        """
        self._write(gateway)
        (self._base / f"{_MODULE}.py").write_text(_CODE)
        command = [sys.executable, "-m", "tidegate", "run", f"{_MODULE}:gateway", "--name", self._name]
        command += ["--runtime-directory", str(self._base / "run")]
        if self._threads is not None:
            command += ["--threads", str(self._threads)]
        if os.geteuid() == 0:
            # What was written here, and often the interpreter, are for this user alone.
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

    def apply(self, gateway: Gateway) -> Message:
        """Has control read another configuration.

        Raises:
            ConfigError: Control refused it.
        """
        self._write(gateway)
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
            return self._process.wait(self._patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _write(self, gateway: Gateway) -> None:
        # The supervisor lets requests end, and then ends what is left; killed, it could not.
        grace = int(gateway.gateway.graceful_stop) / 1000
        stops = [each.processes.stop_timeout for each in gateway.backends.values() if each.processes]
        grace += max(map(int, stops), default=0) / 1000
        self._patience = max(self._patience, grace + _BEYOND_GRACE)
        temporary = self._base / ".configured"
        temporary.touch(mode=0o600)
        temporary.write_bytes(pickled(gateway))
        temporary.rename(self._base / f"{_MODULE}.pickle")


class Running(Handle):
    """A gateway of a script; use `Gateway.running`."""

    def __init__(self, gateway: Gateway, *, threads: int | None, timeout: float) -> None:
        """Starts nothing yet."""
        self._gateway = gateway
        self._threads = threads
        self._timeout = timeout

    @property
    def addresses(self) -> dict[str, str]:
        """Where each listener is reached from this machine: `http://HOST:PORT`, `https:...`, `unix:/path`."""
        return {
            name: _reached(listener.scheme, listener.address, listener.port)
            for name, listener in self._gateway.listeners.items()
        }

    @property
    def ports(self) -> dict[str, int]:
        """The port of each listener that has one, `admin` among them."""
        listeners = self._gateway.listeners
        found = {name: each.port for name, each in listeners.items() if not each.address.startswith("unix:")}
        admin = self._gateway.gateway.admin
        return found if admin is None else {**found, "admin": admin.port}

    @property
    def url(self) -> str:
        """The address of the first listener, without a slash at its end."""
        return next(iter(self.addresses.values()))

    def start(self) -> Self:
        """Starts the gateway and waits until it serves; `with` does so.

        Raises:
            ConfigError: The gateway has mistakes.
            RuntimeError: It did not start, because a port is taken for example; the text has its output.
        """
        from tidegate.config.check import check_gateway

        check_gateway(self._gateway)
        self._folder = tempfile.TemporaryDirectory(prefix="tidegate-")
        self._way: Processes = Processes(Path(self._folder.name), "running", self._threads, self._timeout)
        try:
            self._way.start(self._gateway)
        except BaseException:
            self._end()
            raise
        return self

    def stop(self) -> None:
        """Lets requests end for `graceful_stop` and ends every process; `with` does so.

        Raises:
            RuntimeError: The gateway failed; the text has its output.
        """
        code, output = self._end()
        if code != 0:
            raise RuntimeError(f"the gateway ended with code {code}:\n{output}")

    def _end(self) -> tuple[int, str]:
        ended = self._way.stop(), self._way.output()
        self._folder.cleanup()
        return ended

    def reload(self, gateway: Gateway) -> Message:
        """Applies another configuration and returns once every thread serves it.

        Raises:
            ConfigError: It is wrong; the old one stays.
        """
        from tidegate.config.check import check_gateway

        check_gateway(gateway)
        reply = self._way.apply(gateway)
        self._gateway = gateway
        return reply


def question(request: Request) -> dict[str, Any]:
    """A request as the node's `decide` takes it."""
    if isinstance(request, str):
        method, _, url = request.partition(" ")
        return {"method": method, "url": url, "headers": []}
    return {"headers": [], **request}


def environment(*folders: Path) -> dict[str, str]:
    """This process's environment, in which a child imports the same tidegate, and modules from `folders`."""
    import tidegate

    paths = [
        *map(str, folders),
        str(Path(str(tidegate.__file__)).parents[1]),
        os.environ.get("PYTHONPATH", ""),
    ]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def _reached(scheme: str, address: str, port: int) -> str:
    if address.startswith("unix:"):
        return address
    bare = address.strip("[]")
    host = {"": "127.0.0.1", "::": "127.0.0.1", "0.0.0.0": "127.0.0.1"}.get(bare, bare)
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
