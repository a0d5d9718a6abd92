# SPDX-License-Identifier: Apache-2.0
"""A topology as real processes in a folder of its own."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import tidegate
from tidegate.demo import files
from tidegate.demo.client import Answer, Ledger, request, wait_for
from tidegate.demo.line import Scanner
from tidegate.demo.places import Places
from tidegate.demo.process import Process
from tidegate.demo.topology import INSIDE, SERVICE_PORT, Instance, Service, Topology
from tidegate.issuing.development import DevelopmentError, Made, ensure

START_WAIT = 20.0
"""Seconds a process has to answer; it takes well under one, but a loaded machine may need more."""
SERVICE_GRACE = 3.0
INSTANCE_GRACE = 6.0
"""Seconds to end by itself; above the `graceful_stop` of the topologies' files."""
TIDEGATE = (sys.executable, "-m", "tidegate")

Edit = Callable[["ConfigFile"], None]


class DemoError(Exception):
    """The demo cannot go on; the text says why, with what the process in question printed."""


class ConfigFile:
    """One instance's configuration, to be changed by its text as a person would."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.original = text
        path.write_text(text, "utf-8")

    @property
    def text(self) -> str:
        """What the file says now."""
        return self.path.read_text("utf-8")

    def write(self, text: str) -> None:
        """Replaces it in one step, so that nobody reads half of it."""
        beside = self.path.with_suffix(".new")
        beside.write_text(text, "utf-8")
        beside.replace(self.path)

    def replace(self, old: str, new: str) -> None:
        """Replaces the only place that says `old`."""
        text = self.text
        if text.count(old) != 1:
            raise DemoError(f"{self.path.name} says {text.count(old)} times, not once: {old}")
        self.write(text.replace(old, new))


class Running:
    """The processes of one topology; a context manager that ends them all."""

    def __init__(
        self,
        topology: Topology,
        port: int,
        watched: Collection[str] | None = None,
        edits: Mapping[str, Edit] | None = None,
        command: Sequence[str] = TIDEGATE,
    ) -> None:
        """
        Args:
            topology: What to run.
            port: For browsers; 0 takes any.
            watched: The instances that follow their file by themselves; all without it.
            edits: By file name, changes to make to a configuration before the start.
            command: How tidegate is called.
        """
        self.topology = topology
        self.root = files.root()
        self.places = Places(port)
        self.folder = Path(tempfile.mkdtemp(prefix="tidegate-demo-"))
        self.configs: dict[str, ConfigFile] = {}
        self.instances: dict[str, Process] = {}
        self.services: dict[str, Process] = {}
        guard = [sys.executable, "-m", "tidegate.demo.guard", str(self.folder)]
        self._guard = self._process("guard", guard, self._shared_environment())
        self._watched = watched
        self._command = tuple(command)
        self._edits = dict(edits or {})
        self.certificate: Made
        """For the shop, signed by an authority for development."""
        self.trust: ssl.SSLContext
        """Believes that authority alone."""

    def __enter__(self) -> Running:
        try:
            # The same that the gateway's `tls: dev` shows: whoever comes first makes it.
            self.certificate = _certificate()
            self.trust = ssl.create_default_context(cafile=str(self.certificate.authority))
            self._lay_out()
            self._guard.start()
            for service in self.topology.services:
                self.add_service(service)
            for instance in self.topology.instances:
                self.add_instance(instance)
            everything: list[Service | Instance] = [*self.topology.services, *self.topology.instances]
            for of in everything:
                self.wait_answering(of)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def entry(self) -> str:
        """`IP:port` that browsers use, over TLS."""
        return f"127.0.0.1:{self.places.port}"

    @property
    def plain(self) -> str:
        """`IP:port` that leads those who come without TLS to the other one."""
        return f"127.0.0.1:{self.places.plain_port}"

    @property
    def stock(self) -> str:
        """`IP:port` of the stock, where lines are spoken."""
        return f"127.0.0.1:{self.places.stock_port}"

    @property
    def inside(self) -> str:
        """`IP:port` where the services ask each other."""
        return self.places.move(INSIDE)

    def request(
        self,
        path: str,
        form: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        patience: float = 10.0,
        ledger: Ledger | None = None,
    ) -> Answer:
        """Asks as a browser does that trusts the development authority; see `client.request`."""
        return request(self.entry, path, form, fields, patience, ledger, self.trust)

    @property
    def data(self) -> Path:
        """The folder of the services' databases."""
        return self.folder / "data"

    @property
    def logs(self) -> Path:
        """The folder of the services' request logs."""
        return self.folder / "logs"

    def address(self, of: Service | Instance) -> str:
        """`IP:port` in this demo's block."""
        written = of.address if isinstance(of, Instance) else f"{of.address}:{SERVICE_PORT}"
        return self.places.move(written)

    def add_service(self, service: Service) -> Process:
        """Starts one service instance; `wait_answering` says when it answers."""
        process = self.services.get(service.name)
        if process is None:
            address, _, port = self.address(service).rpartition(":")
            program = ["shop.serve", f"shop.{service.kind}:app"] if service.is_http else ["shop.stock"]
            command = [sys.executable, "-m", *program, "--until-input-ends"]
            command += ["--address", address, "--port", port]
            environment = self.shop_environment(service.name, service.zone)
            process = self._process(service.name, command, environment)
            self.services[service.name] = process
        self._start(process)
        return process

    def shop_environment(self, instance: str, zone: str) -> dict[str, str]:
        """What shop code needs to know to be part of this demo."""
        return {
            "SHOP_INSTANCE": instance,
            "SHOP_ZONE": zone,
            "SHOP_DATA": str(self.data),
            "SHOP_LOGS": str(self.logs),
            "SHOP_GATEWAY": f"http://{self.inside}",
            "PYTHONPATH": str(self.folder),
        }

    def lay_out(self, topology: Topology, name: str) -> ConfigFile:
        """Copies one of a topology's files, moved to this demo's addresses, and makes the edits to it."""
        written = (self.root / "topologies" / topology.name / name).read_text("utf-8")
        path = self.folder / "topologies" / topology.name / name
        path.parent.mkdir(parents=True, exist_ok=True)
        config = ConfigFile(path, self.places.move(written))
        self.configs[name] = config
        if name in self._edits:
            self._edits[name](config)
        return config

    def add_instance(self, instance: Instance) -> Process:
        """Starts one tidegate, whose file was laid out; `wait_answering` says when it answers."""
        process = self.instances.get(instance.name)
        if process is None:
            command = [*self._command, "run", str(self.configs[instance.file].path), "--name", instance.name]
            if self._watched is None or instance.name in self._watched:
                command.append("--watch")
            if os.geteuid() == 0:
                # It would give up its rights, rightly. Here all belongs to whoever looks at the demo, is
                # reached from this machine alone, and may lie where only root can read.
                command += ["--user", "root"]
            process = self._process(instance.name, command, self._environment(instance))
            self.instances[instance.name] = process
        self._start(process)
        return process

    def wait_answering(self, of: Service | Instance, seconds: float = START_WAIT) -> None:
        """Returns once it answers, in an instance's case through all that is behind it.

        Raises:
            DemoError: It ended, or does not answer in time.
        """
        process = (self.services if isinstance(of, Service) else self.instances)[of.name]
        address = self.address(of)
        trust = self.trust if address == self.entry else None

        def is_answering() -> bool:
            if isinstance(of, Service) and not of.is_http:
                with Scanner(address, patience=5.0) as scanner:
                    return bool(scanner.ask("lamp"))
            return request(address, "/healthz", patience=5.0, trust=trust).status == 200

        def is_settled() -> bool:
            return not process.is_running or is_answering()

        is_in_time = wait_for(is_settled, seconds)
        if not process.is_running:
            raise DemoError(f"{of.name} ended instead of answering on {address}:\n{process.last_words()}")
        if not is_in_time:
            last = request(address, "/healthz", patience=1.0, trust=trust)
            raise DemoError(f"{of.name} on {address} says {last}:\n{process.last_words()}")

    def tidegate(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a tidegate command that ends by itself, such as `reload --name gateway-1`."""
        return subprocess.run(
            [*self._command, *arguments],
            env={**os.environ, **self._shared_environment()},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def stop(self) -> None:
        """Ends everything that was started, the tidegates first, and removes the folder."""
        for processes, grace in ((self.instances, INSTANCE_GRACE), (self.services, SERVICE_GRACE)):
            if processes:
                with ThreadPoolExecutor(len(processes)) as pool:
                    list(pool.map(lambda process, wait=grace: process.stop(wait), processes.values()))
        self._guard.close_input()
        self._guard.wait(SERVICE_GRACE)
        self.places.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _lay_out(self) -> None:
        # The same places as in `examples`, so that relative paths in the files mean the same.
        (self.folder / "shop").symlink_to(self.root / "shop")
        for name in ("data", "logs", "output", "run"):
            (self.folder / name).mkdir()
        for name in sorted({instance.file for instance in self.topology.instances}):
            self.lay_out(self.topology, name)

    def restart(self, name: str) -> None:
        """Starts an instance again that has ended, with its file as it is now."""
        self._start(self.instances[name])

    def _start(self, process: Process) -> None:
        process.start()
        self._guard.tell(f"{process.pid}\n")

    def _process(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Process:
        return Process(name, command, environment, self.folder / "output" / f"{name}.txt", self.folder)

    def _environment(self, instance: Instance) -> dict[str, str]:
        moved = {name: self.places.move(value) for name, value in instance.environment.items()}
        shop = self.shop_environment(instance.name, "functions")
        # What runs inside this instance reaches the rest of the shop through the same one.
        inside = instance.inside or instance.address
        shop["SHOP_GATEWAY"] = f"http://{self.places.move(inside)}"
        return {**shop, **self._shared_environment(), **moved}

    def _shared_environment(self) -> dict[str, str]:
        # The tidegate that runs is the one that this code belongs to, wherever it was imported from.
        package = str(Path(tidegate.__path__[0]).parent)
        path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
        return {"TIDEGATE_RUNTIME_DIR": str(self.folder / "run"), "PYTHONPATH": path}


def _certificate() -> Made:
    try:
        return ensure()
    except DevelopmentError as error:
        raise DemoError(str(error)) from error
