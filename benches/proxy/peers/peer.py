# SPDX-License-Identifier: Apache-2.0
"""A proxy that is compared: how it is configured, started, found ready and stopped.

Each runs in its own directory, pinned to one core with everything it starts, one thread or worker process,
the same two origin servers by least connections, keep-alive on both sides, a JSON log line per request and
its counters on.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path

from benches.proxy import engine
from benches.proxy.cases import MOST_CONNECTIONS, Case
from benches.proxy.certificate import HOST
from benches.proxy.load import Load
from benches.proxy.machine import process_group, raise_descriptors

CONFIGURATIONS = Path(__file__).parent
BODY = bytes(range(251))
"""What bodies are made of, over and over: the load tool compares with the same."""
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


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, all different."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


class Peer(ABC):
    """One proxy; `start` it for a case, use it at `port`, `stop` it."""

    name: str
    """As the tables call it."""
    program: str
    """What must be on the machine."""
    is_slow = False
    """Whether latencies are measured at `Case.slow_rate`."""

    def __init__(self, directory: Path, core: int, load: Load) -> None:
        self._directory = directory / self.name
        self._core = core
        self._load = load
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.connections = MOST_CONNECTIONS
        self.admin = 0
        """A port for its own interface; the path of a socket is each peer's own matter."""

    @abstractmethod
    def version(self) -> str:
        """What is compared, as its program says."""

    @abstractmethod
    def command(self, case: Case) -> list[str]:
        """Writes the configuration into the directory and returns what to run."""

    def change(self, is_there: bool) -> None:
        """Adds the third endpoint or removes it, the way its users would, without waiting for the effect."""
        raise NotImplementedError

    def takes(self, case: Case) -> bool:
        """Whether it can do a case."""
        return True

    def environment(self) -> dict[str, str]:
        """Environment of the process."""
        return dict(os.environ)

    def is_here(self) -> bool:
        """Whether its program is on this machine."""
        return shutil.which(self.program, path=SEARCH_PATH) is not None

    def executable(self) -> str:
        """The program's path."""
        return shutil.which(self.program, path=SEARCH_PATH) or self.program

    def start(self, case: Case, connections: int = MOST_CONNECTIONS) -> None:
        """Starts it set up for a case and so many clients, until it answers."""
        self.connections = connections
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir(parents=True)
        if case.files:
            self.write_file(case.size)
        self.port, self.admin = free_ports(2)

        def prepare() -> None:
            os.sched_setaffinity(0, {self._core})
            raise_descriptors()

        with (self._directory / "output.log").open("wb") as log:
            self._process = subprocess.Popen(
                self.command(case),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment(),
                cwd=engine.ROOT,
                preexec_fn=prepare,
                start_new_session=True,
            )
        # The last route: it is there when all are.
        self._await_answer(case.first_path(f"r{case.routes - 1}"), case)

    def write_file(self, size: int) -> None:
        """Writes what the static cases ask for below `files/`."""
        folder = self._directory / "files" / "b"
        folder.mkdir(parents=True)
        (folder / str(size)).write_bytes((BODY * (size // len(BODY) + 1))[:size])

    def _connect(self, case: Case) -> socket.socket:
        if case.datagrams:
            datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            datagrams.settimeout(0.2)
            datagrams.connect(("127.0.0.1", self.port))
            return datagrams
        plain = socket.create_connection(("127.0.0.1", self.port), 2)
        if not case.tls:
            return plain
        trusting = ssl.create_default_context(cafile=str(self._load.certificate.authority))
        return trusting.wrap_socket(plain, server_hostname=HOST)

    def _await_answer(self, path: str, case: Case) -> None:
        assert self._process is not None
        request = f"GET {path} HTTP/1.1\r\nHost: bench.example\r\nConnection: close\r\n\r\n".encode()
        deadline = time.monotonic() + 30
        answer = b""
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with self._connect(case) as connection:
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
        if self._process is None:
            raise RuntimeError(f"{self.name} does not run")
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
