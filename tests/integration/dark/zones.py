# SPDX-License-Identifier: Apache-2.0
"""Zones of services in processes of their own, which can be killed, stopped, or cut off the network."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.ports import free_port
from tidegate.testing import wait_until

ROOT = Path(__file__).parents[3]
SERVICE = Path(__file__).with_name("service.py")
TIMEOUT = 60.0
SEARCH_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
_NUMBERS = itertools.count(os.getpid() * 4)


class Zone:
    """Services that stand or fall together: one process each, at `addresses`."""

    def __init__(
        self,
        folder: Path,
        name: str,
        groups: Sequence[Sequence[str]],
        inside: Sequence[str] = (),
        delay: float = 5,
    ) -> None:
        """Starts a process for each group of addresses; it answers after `delay` ms.

        `inside` is a command that runs another one where the zone is.
        """
        self.name = name
        self.addresses = [address for group in groups for address in group]
        self._folder = folder
        self._processes: list[subprocess.Popen[str]] = []
        self._logs: list[Path] = []
        try:
            for number, group in enumerate(groups):
                log = folder / f"{name}.{number}"
                command = [*inside, sys.executable, str(SERVICE), str(log), str(delay), *group]
                self._logs.append(log)
                self._processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            for process in self._processes:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n", f"a service of {name} did not start"
        except BaseException:
            self.end()
            raise

    def kill(self) -> None:
        """Ends every process at once, and waits until they are gone."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait(TIMEOUT)

    def stop(self) -> None:
        """Stops every process: connections stand, and nobody answers."""
        for process in self._processes:
            process.send_signal(signal.SIGSTOP)

        def are_stopped() -> bool:
            stats = (Path(f"/proc/{process.pid}/stat").read_text() for process in self._processes)
            return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)

        assert wait_until(are_stopped, TIMEOUT)

    def seen(self) -> Counter[int]:
        """How often each request came here."""
        found: Counter[int] = Counter()
        for log in self._logs:
            with contextlib.suppress(FileNotFoundError):
                # The last line may be half written.
                found.update(int(line) for line in log.read_text().split("\n")[:-1])
        return found

    def end(self) -> None:
        """Ends whatever is left."""
        for process in self._processes:
            with process:
                process.kill()


def on_loopback(folder: Path, name: str, services: int = 2) -> Zone:
    """A zone of so many services at 127.0.0.1."""
    return Zone(folder, name, [[f"127.0.0.1:{free_port()}"] for _ in range(services)])


class Network:
    """A network namespace with a link to ours, which is `link` at `here`, and there `inner` at `address`."""

    def __init__(self) -> None:
        number = next(_NUMBERS)
        # Of 198.18.0.0/15, which RFC 2544 sets aside for tests: four addresses for each link.
        base = number % (1 << 15) * 4
        self.here, self.address = (
            f"198.{18 + (base >> 16)}.{base >> 8 & 255}.{(base & 255) + last}" for last in (1, 2)
        )
        self.link = f"tg{number % 10**9}"
        self._holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo ready; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert self._holder.stdout is not None
            if self._holder.stdout.readline() != "ready\n":
                raise OSError("unshare --net is not permitted")
            pid = str(self._holder.pid)
            ip("link", "add", self.link, "type", "veth", "peer", "name", "inner", "netns", pid)
            ip("address", "add", f"{self.here}/30", "dev", self.link)
            ip("link", "set", self.link, "up")
            ip("address", "add", f"{self.address}/30", "dev", "inner", inside=self.inside)
            ip("link", "set", "inner", "up", inside=self.inside)
        except BaseException:
            self.close()
            raise

    @property
    def inside(self) -> list[str]:
        """What runs a command in there."""
        return ["nsenter", "--target", str(self._holder.pid), "--net"]

    def cut(self) -> None:
        """Takes the far end of the link down: packets go nowhere, and nobody is told."""
        ip("link", "set", "inner", "down", inside=self.inside)

    def close(self) -> None:
        """Ends the namespace, and the link with it."""
        with self._holder:
            self._holder.kill()


def ip(*arguments: str, inside: Sequence[str] = ()) -> None:
    """Runs `ip`; an OSError says what it said."""
    command = [*inside, "ip", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PATH": SEARCH_PATH}
    )
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


def why_no_network() -> str:
    """Why no network namespace with a link to ours can be made; empty if one can."""
    missing = [name for name in ("ip", "unshare", "nsenter") if shutil.which(name, path=SEARCH_PATH) is None]
    if missing:
        return f"not on this machine: {', '.join(missing)} (make packages)"
    try:
        Network().close()
    except OSError as error:
        return f"no network namespace can be made here: {error}"
    return ""


def run_inside(module: str) -> None:
    """Runs a module in a network of its own, which must find everything as it should be."""
    if why := why_no_network():
        pytest.skip(why)
    told = subprocess.run(
        ["unshare", "--net", sys.executable, "-m", module],
        cwd=ROOT,
        env={**os.environ, "PATH": SEARCH_PATH},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr


@contextlib.contextmanager
def behind_a_link(folder: Path, name: str, services: int = 2) -> Iterator[tuple[Zone, Network]]:
    """A zone in a network namespace of its own."""
    network = Network()
    try:
        groups = [[f"{network.address}:{7070 + number}"] for number in range(services)]
        zone = Zone(folder, name, groups, network.inside)
        try:
            yield zone, network
        finally:
            zone.end()
    finally:
        network.close()


def now() -> int:
    """Nanoseconds of the monotonic clock, as in the ledger."""
    return time.monotonic_ns()
