# SPDX-License-Identifier: Apache-2.0
"""Several versions of the package as real files, and a running gateway whose installed one is exchanged."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tidegate
from tests.integration.supervised import Event, Supervised
from tidegate.testing import wait_until

PATIENCE = 60.0
"""Seconds for an upgrade: it starts five Pythons on a machine that may be busy."""
OLD, NEW = "1.0.0", "2.0.0"


class Packages:
    """Versions side by side in one folder, and `current`, a link to the one that is installed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.current = folder / "current"

    def add(self, version: str) -> Path:
        """Copies this checkout's package under another version, its engine a build of its own; returns it."""
        folder = self._folder / version
        source = Path(tidegate.__path__[0])
        shutil.copytree(source, folder / "tidegate", ignore=shutil.ignore_patterns("__pycache__", "test_*"))
        with open(folder / "tidegate" / "_engine.abi3.so", "ab") as engine:
            # Behind everything that the loader reads.
            engine.write(version.encode())
        about = folder / f"tidegate-{version}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tidegate\nVersion: {version}\n")
        return folder / "tidegate"

    def install(self, version: str) -> None:
        """Makes a version the installed one, in one step."""
        fresh = self._folder / "next"
        fresh.symlink_to(version)
        fresh.rename(self.current)


class Upgraded(Supervised):
    """A gateway that runs from `packages.current`."""

    def __init__(self, folder: Path, text: str, *arguments: str, **options: Any) -> None:
        # Hidden: what changes in a folder with users' code would be new code to them.
        hidden = folder / ".packages"
        hidden.mkdir(exist_ok=True)
        self.packages = Packages(hidden)
        self.packages.add(OLD)
        self.packages.add(NEW)
        self.packages.install(OLD)
        super().__init__(folder, text, *arguments, package=self.packages.current, **options)

    def upgrade(self, *arguments: str) -> dict[str, Any]:
        """Upgrades to what is installed and waits for the end; returns the record with `exit`."""
        return finished(self.begin_upgrade(*arguments))

    def begin_upgrade(self, *arguments: str) -> subprocess.Popen[str]:
        """`tidegate upgrade --json`, which ends with the last of the old node."""
        return subprocess.Popen(
            [self._python, "-m", "tidegate", "upgrade", "--json", *arguments],
            env=self._environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def status(self) -> dict[str, Any]:
        """What `tidegate status --json` says."""
        said: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return said

    def node(self) -> tuple[int, str]:
        """Process identifier and version of the node that accepts."""
        node = self.status()["node"]
        return node["pid"], node["version"]

    def wait_draining(self) -> dict[str, Any]:
        """Waits until the old node drains and has said how much it has; returns what `status` says of it."""
        found: list[dict[str, Any]] = []

        def drains() -> bool:
            control = self.status()["control"]
            found[:] = (control or {}).get("draining", [])
            return bool(found) and found[0]["connections"] is not None

        assert wait_until(drains, PATIENCE), self.log()
        return found[0]

    def drains(self, pid: int) -> bool:
        """Whether that node drains and has said how much it has."""
        draining = (self.status()["control"] or {}).get("draining", [])
        return any(each["pid"] == pid and each["connections"] is not None for each in draining)

    def wait_control(self) -> None:
        """Waits until control answers, and has given the node what it is to have."""

        def answers() -> bool:
            control = self.status()["control"]
            return control is not None and control["number"] > 0

        assert wait_until(answers, PATIENCE), self.log()

    def seen(self) -> list[Event]:
        """Every event so far."""
        self.log()
        return self.events


def finished(command: subprocess.Popen[str]) -> dict[str, Any]:
    """Waits for the end of `begin_upgrade`; returns its record with `exit`, and `text`, its stderr."""
    said, wrong = command.communicate(timeout=PATIENCE)
    return {**(json.loads(said) if said else {}), "exit": command.returncode, "text": wrong}


@contextmanager
def upgraded(folder: Path, text: str, *arguments: str, **options: Any) -> Iterator[Upgraded]:
    """A gateway of version OLD that has said it is ready."""
    gateway = Upgraded(folder, text, *arguments, **options)
    try:
        gateway.wait_ready()
        yield gateway
    finally:
        gateway.close()


def is_alive(pid: int) -> bool:
    """Whether there is such a process."""
    return os.path.exists(f"/proc/{pid}")
