# SPDX-License-Identifier: Apache-2.0
"""A real gateway for a test, and decisions without one."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from tidegate.config.compile import compile_gateway
from tidegate.config.implied import user_functions
from tidegate.protocol import Message
from tidegate.running import Handle, Request, question

from .light import NodeAlone
from .rebind import LOOPBACK, Configuration, read, rebind
from .whole import WholeGateway


class RunningGateway(Handle):
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
        elif user_functions(self._source.gateway):
            raise ValueError("functions run in processes of their own: gateway(..., processes=True)")
        elif any(backend.processes for backend in self._source.gateway.backends.values()):
            raise ValueError("there is nobody to start `processes`: gateway(..., processes=True)")
        else:
            self._way = NodeAlone(folder, threads or _threads(self._source.gateway.gateway.threads), timeout)

    @property
    def ports(self) -> dict[str, int]:
        """The port of each listener, `admin` among them."""
        return dict(self._way.ports)

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT` of the first listener, or `https://`, without a slash at its end."""
        first = next(iter(self._source.gateway.listeners.values()), None)
        return f"{first.scheme if first is not None else 'http'}://{LOOPBACK}:{self.port}"

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

    def log(self, count: int = 0, timeout: float = 30.0) -> list[dict[str, Any]]:
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


def gateway(
    configuration: Configuration,
    *,
    processes: bool = False,
    threads: int | None = None,
    timeout: float = 60.0,
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
    told = _engine.decide(snapshot.delta_json(None), json.dumps(question(request)))
    decision: dict[str, Any] = json.loads(told)
    return decision


def wait_until(condition: Callable[[], object], timeout: float = 30.0) -> bool:
    """Looks every 10 ms whether something outside this process holds; False after `timeout` seconds."""
    end, pause = time.monotonic() + timeout, threading.Event()
    while not condition():
        if time.monotonic() >= end:
            return False
        pause.wait(0.01)
    return True


def _threads(written: int | str) -> int:
    return written if isinstance(written, int) else 2
