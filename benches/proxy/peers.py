# SPDX-License-Identifier: Apache-2.0
"""The proxies compared: how each is configured, started, found ready and stopped.

Each runs in its own directory, pinned to one core with everything it starts, one thread or worker process,
the same two origin servers by least connections, keep-alive on both sides, a JSON log line per request and
its counters on.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path

from benches.proxy import engine
from benches.proxy.cases import MOST_CONNECTIONS
from benches.proxy.load import Load
from benches.proxy.machine import output, process_group, raise_descriptors

CONFIGURATIONS = Path(__file__).parent / "peers"
SEARCH_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def route_names(count: int) -> list[str]:
    """First path segments of `count` routes; the load tool asks for them in turn."""
    return [f"r{number}" for number in range(count)] if count > 1 else []


def fill(template: str, **values: object) -> str:
    """Replaces each @NAME@ in a committed configuration file."""
    text = (CONFIGURATIONS / template).read_text()
    for name, value in values.items():
        text = text.replace(f"@{name.upper()}@", str(value))
    left = re.search(r"@[A-Z_0-9]+@", re.sub(r"^#.*", "", text, flags=re.MULTILINE))
    if left:
        raise ValueError(f"{template}: {left[0]} is not filled in")
    return text


class Peer(ABC):
    """One proxy; `start` it for a case, use it at `port`, `stop` it."""

    name: str
    """As the tables call it."""
    program: str
    """What must be on the machine."""

    def __init__(self, directory: Path, core: int, load: Load) -> None:
        self._directory = directory / self.name
        self._core = core
        self._load = load
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.connections = MOST_CONNECTIONS

    @abstractmethod
    def version(self) -> str:
        """What is compared, as its program says."""

    @abstractmethod
    def command(self, routes: int) -> list[str]:
        """Writes the configuration into the directory and returns what to run."""

    def environment(self) -> dict[str, str]:
        """Environment of the process."""
        return dict(os.environ)

    def is_here(self) -> bool:
        """Whether its program is on this machine."""
        return shutil.which(self.program, path=SEARCH_PATH) is not None

    def start(self, routes: int, connections: int = MOST_CONNECTIONS) -> None:
        """Starts with `routes` path prefixes (1: everything), for so many clients, until it answers."""
        self.connections = connections
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir(parents=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

        def prepare() -> None:
            os.sched_setaffinity(0, {self._core})
            raise_descriptors()

        with (self._directory / "output.log").open("wb") as log:
            self._process = subprocess.Popen(
                self.command(routes),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment(),
                cwd=engine.ROOT,
                preexec_fn=prepare,
                start_new_session=True,
            )
        path = f"/{route_names(routes)[-1]}/b/1" if routes > 1 else "/b/1"
        self._await_answer(path)

    def _await_answer(self, path: str) -> None:
        assert self._process is not None
        request = f"GET {path} HTTP/1.1\r\nHost: bench.example\r\nConnection: close\r\n\r\n".encode()
        deadline = time.monotonic() + 30
        answer = b""
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 2) as connection:
                    connection.sendall(request)
                    answer = connection.recv(4096)
                if answer.startswith(b"HTTP/1.1 200"):
                    return
            except OSError:
                pass
            time.sleep(0.05)
        log = (self._directory / "output.log").read_text(errors="replace")
        self.stop()
        raise RuntimeError(
            f"{self.name} does not answer {path} (got {answer[:80]!r}); it said:\n{log[-2000:]}"
        )

    def log_lines(self) -> int:
        """Lines of its access log so far; read after it is stopped, when all are written."""
        with (self._directory / "access.log").open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))

    def pids(self) -> list[int]:
        """All its processes."""
        assert self._process is not None
        return process_group(self._process.pid)

    def stop(self) -> None:
        """Ends all its processes."""
        if self._process is None:
            return
        pids = self.pids()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process = None


class Nginx(Peer):
    """nginx, one worker process."""

    name = "nginx"
    program = "nginx"

    def version(self) -> str:
        return output(shutil.which(self.program, path=SEARCH_PATH) or "", "-v").removeprefix(
            "nginx version: "
        )

    def command(self, routes: int) -> list[str]:
        names = [f"/{name}/" for name in route_names(routes)] or ["/"]
        blocks = "\n".join(f"    location {path} {{ proxy_pass http://origin; }}" for path in names)
        text = fill(
            "nginx.conf",
            directory=self._directory,
            port=self.port,
            # Its limit counts connections to origin servers as well.
            connections=self.connections + 384,
            origin_1=self._load.origins[0],
            origin_2=self._load.origins[1],
            routes=blocks,
        )
        (self._directory / "nginx.conf").write_text(text)
        program = shutil.which(self.program, path=SEARCH_PATH) or self.program
        return [program, "-p", str(self._directory), "-c", str(self._directory / "nginx.conf")]


class Haproxy(Peer):
    """HAProxy, one thread."""

    name = "haproxy"
    program = "haproxy"

    def log_lines(self) -> int:
        return self._load.lines()

    def version(self) -> str:
        words = output(shutil.which(self.program, path=SEARCH_PATH) or "", "-v").split()
        return f"haproxy/{words[2]}" if len(words) > 2 else ""

    def command(self, routes: int) -> list[str]:
        route = "  default_backend origin"
        if routes > 1:
            lines = "".join(f"/{name}/ origin\n" for name in route_names(routes))
            (self._directory / "routes.map").write_text(lines)
            route = f"  use_backend %[path,map_beg({self._directory}/routes.map)]"
        text = fill(
            "haproxy.cfg",
            directory=self._directory,
            port=self.port,
            connections=self.connections,
            origin_1=self._load.origins[0],
            origin_2=self._load.origins[1],
            route=route,
            sink=self._load.sink,
        )
        (self._directory / "haproxy.cfg").write_text(text)
        program = shutil.which(self.program, path=SEARCH_PATH) or self.program
        return [program, "-db", "-f", str(self._directory / "haproxy.cfg")]


class AsyncioProxy(Peer):
    """Our plain asyncio proxy with uvloop and httptools: what the engine would cost in Python."""

    name = "asyncio"
    program = sys.executable

    def version(self) -> str:
        from importlib.metadata import version

        return f"uvloop/{version('uvloop')} httptools/{version('httptools')}"

    def command(self, routes: int) -> list[str]:
        ports = [origin.rpartition(":")[2] for origin in self._load.origins]
        script = str(CONFIGURATIONS / "asyncio_proxy.py")
        log = str(self._directory / "access.log")
        return [sys.executable, script, str(self.port), log, *ports, "--", *route_names(routes)]


class Tidegate(Peer):
    """tidegate as it is run: supervisor, control and a node of one thread, release profile."""

    name = "tidegate"
    program = sys.executable

    def version(self) -> str:
        return f"tidegate/{engine.version()}"

    def command(self, routes: int) -> list[str]:
        names = [f"/{name}" for name in route_names(routes)] or ["/"]
        lines = "\n".join(f"  - {{ path: {path}, to: origin }}" for path in names)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            admin = probe.getsockname()[1]
        text = fill(
            "tidegate.yaml",
            user=getpass.getuser(),
            directory=self._directory,
            port=self.port,
            connections=self.connections,
            admin=admin,
            origin_1=self._load.origins[0],
            origin_2=self._load.origins[1],
            routes=lines,
        )
        (self._directory / "tidegate.yaml").write_text(text)
        return [sys.executable, "-m", "tidegate", "run", str(self._directory / "tidegate.yaml")]

    def environment(self) -> dict[str, str]:
        own = {"PYTHONPATH": str(engine.staged()), "TIDEGATE_RUNTIME_DIR": str(self._directory / "run")}
        return {**os.environ, **own}


PEERS: list[type[Peer]] = [Tidegate, Nginx, Haproxy, AsyncioProxy]
