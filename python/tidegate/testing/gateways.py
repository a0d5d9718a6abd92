# SPDX-License-Identifier: Apache-2.0
"""A real gateway for a test, and decisions without one."""

from __future__ import annotations

import asyncio
import json
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tidegate.config.compile import compile_gateway
from tidegate.protocol import Message

from .light import NodeAlone
from .rebind import LOOPBACK, Configuration, read, rebind
from .whole import WholeGateway

Request = Mapping[str, Any] | str
"""`GET http://shop.example/x`, or `{"method", "url", "headers": [[name, value]], "client", "listener"}`."""


class RunningGateway:
    """A gateway on free loopback ports; use `gateway(...)`.

    The ports and addresses of the configuration are never used: each listener is bound anew. It can be
    entered by `with` and by `async with`; the methods are the same and block for a moment.
    """

    def __init__(
        self, configuration: Configuration, *, processes: bool, threads: int | None, timeout: float
    ) -> None:
        """Starts nothing yet."""
        self._source = read(configuration)
        self._folder = tempfile.TemporaryDirectory(prefix="tidegate-test-")
        folder = Path(self._folder.name)
        if processes:
            self._way: NodeAlone | WholeGateway = WholeGateway(folder, threads or 2, timeout)
        elif self._source.gateway.functions:
            raise ValueError("functions run in processes of their own: gateway(..., processes=True)")
        else:
            self._way = NodeAlone(folder, threads or _threads(self._source.gateway.gateway.threads), timeout)

    @property
    def ports(self) -> dict[str, int]:
        """The port of each listener, `admin` among them."""
        return dict(self._way.ports)

    @property
    def port(self) -> int:
        """The port of the first listener."""
        return next(iter(self._way.ports.values()))

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT` of the first listener, without a slash at its end."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int:
        """The process that was started: the node, or the supervisor with `processes=True`."""
        return self._way.pid

    @property
    def runtime_directory(self) -> Path:
        """Where the sockets of the instance are."""
        return self._way.folder

    def start(self) -> Self:
        """Starts the gateway; `with` does so.

        Raises:
            RuntimeError: It did not start; the text has the output of its processes.
        """
        try:
            self._way.start(self._source)
        except BaseException:
            self._way.stop()
            self._folder.cleanup()
            raise
        return self

    def stop(self) -> None:
        """Ends every process; `with` does so.

        Raises:
            AssertionError: The node panicked, or did not end as told.
        """
        code, output = self._way.stop(), self._way.output()
        self._folder.cleanup()
        if code != 0 or "panicked at" in output:
            raise AssertionError(f"the gateway ended with code {code}:\n{output}")

    def reload(self, configuration: Configuration) -> Message:
        """Applies another configuration and returns once every thread serves it.

        Raises:
            ConfigError: It is wrong; the old one stays.
            Refused: The node refused it; the old one stays.
        """
        source = read(configuration)
        reply = self._way.apply(source)
        self._source = source
        return reply

    def call(self, kind: str, /, **fields: Any) -> Message:
        """Sends the node a message of its control protocol and returns the reply."""
        return self._way.call(kind, **fields)

    def status(self) -> Message:
        """The node's status: `snapshot`, `listeners`, `backends`, ..."""
        return self._way.call("status")

    def explain(self, request: Request) -> dict[str, Any]:
        """What the running node would do with `request` now."""
        decision: dict[str, Any] = self._way.call("decide", request=_question(request))["decision"]
        return decision

    def why(self, request_id: str) -> dict[str, Any]:
        """What the node did with the request of that identifier."""
        entry: dict[str, Any] = self._way.call("why", request_id=request_id)["entry"]
        return entry

    def log(self, count: int = 0, timeout: float = 5.0) -> list[dict[str, Any]]:
        """The entries of the access log, oldest first; waits until there are `count`.

        Raises:
            TimeoutError: Fewer came in `timeout` seconds.
        """

        def entries() -> list[dict[str, Any]]:
            file = self._way.log_file
            lines = file.read_text().split("\n")[:-1] if file.exists() else []
            return [json.loads(line) for line in lines]

        if not wait_until(lambda: len(entries()) >= count, timeout):
            raise TimeoutError(f"{len(entries())} of {count} entries in the access log")
        return entries()

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
        except AssertionError as failure:
            if error is None:
                raise
            error.add_note(str(failure))

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)


def gateway(
    configuration: Configuration,
    *,
    processes: bool = False,
    threads: int | None = None,
    timeout: float = 15.0,
) -> RunningGateway:
    """A real gateway on free loopback ports, as a context manager for `with` and `async with`.

    Args:
        configuration: Models, YAML or a file. Ports may be 0; none is used as written.
        processes: Start everything that `tidegate run` starts. Otherwise the node alone is started and fed
            from here, which takes a moment and is enough for all but function workers, control and restarts.
        threads: Threads of the node; by default what the configuration says, and 2 for `auto`.
        timeout: Seconds for the start and for each answer.

    Raises:
        ConfigError: The configuration is wrong.

    Example:
        >>> configuration = "{listeners: {web: {port: 0}}, routes: [{path: /, to: {respond: {status: 204}}}]}"
        >>> with gateway(configuration) as running:
        ...     running.status()["snapshot"]
        1
    """
    return RunningGateway(configuration, processes=processes, threads=threads, timeout=timeout)


def decide(configuration: Configuration, request: Request) -> dict[str, Any]:
    """What a gateway would do with a request, without sockets or processes.

    All endpoints count as healthy. The answer is that of `tidegate explain`.

    Raises:
        ConfigError: The configuration is wrong.
        ValueError: The request makes no sense.
    """
    from tidegate import _engine

    source = read(configuration)
    ports = {name: listener.port for name, listener in source.gateway.listeners.items() if listener.port}
    snapshot = compile_gateway(rebind(source, ports, Path("/dev/null")), threads=1)
    told = _engine.decide(snapshot.delta_json(None), json.dumps(_question(request)))
    decision: dict[str, Any] = json.loads(told)
    return decision


def wait_until(condition: Callable[[], object], timeout: float = 5.0) -> bool:
    """Looks every 10 ms whether something outside this process holds; False after `timeout` seconds."""
    end, pause = time.monotonic() + timeout, threading.Event()
    while not condition():
        if time.monotonic() >= end:
            return False
        pause.wait(0.01)
    return True


def _question(request: Request) -> dict[str, Any]:
    if isinstance(request, str):
        method, _, url = request.partition(" ")
        return {"method": method, "url": url, "headers": []}
    return {"headers": [], **request}


def _threads(written: int | str) -> int:
    return written if isinstance(written, int) else 2
