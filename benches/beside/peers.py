# SPDX-License-Identifier: Apache-2.0
"""Proxies set up by templates in a benchmark's own folder."""

from __future__ import annotations

import getpass
import os
import resource
import sys
from collections.abc import Mapping
from pathlib import Path

from benches.proxy import engine
from benches.proxy.cases import Case
from benches.proxy.load import Load
from benches.proxy.peers import haproxy, nginx, tidegate
from benches.proxy.peers.peer import Peer, fill


def descriptors() -> int:
    """Files that a process may open here."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


class _Configured(Peer):
    def __init__(
        self,
        directory: Path,
        core: int,
        load: Load,
        folder: Path,
        package: Path | None = None,
        **more: object,
    ) -> None:
        """Args: as `Peer`, and

        folder: where the templates are.
        package: to import tidegate from; built on first use without one.
        more: words that the templates need besides.
        """
        super().__init__(directory, core, load)
        self._folder = folder
        self._package = package
        self._more = more

    def configure(self, template: str) -> Path:
        """Fills in a file of the folder."""
        values: Mapping[str, object] = {
            "directory": self._directory,
            "port": self.port,
            "user": getpass.getuser(),
            "descriptors": descriptors(),
            "origin_1": self._load.origins[0],
            "origin_2": self._load.origins[1],
            **self._more,
        }
        written = self._directory / template
        written.write_text(fill(str(self._folder / template), **values))
        return written


class Nginx(_Configured, nginx.Nginx):
    """nginx, one worker process."""

    def command(self, case: Case) -> list[str]:
        """Writes the configuration."""
        return [self.executable(), "-p", str(self._directory), "-c", str(self.configure("nginx.conf"))]


class Haproxy(_Configured, haproxy.Haproxy):
    """HAProxy, one thread."""

    def command(self, case: Case) -> list[str]:
        """Writes the configuration."""
        return [self.executable(), "-db", "-f", str(self.configure("haproxy.cfg"))]


class Tidegate(_Configured, tidegate.Tidegate):
    """tidegate as it is run, release profile, one thread."""

    def command(self, case: Case) -> list[str]:
        """Writes the configuration."""
        return [sys.executable, "-m", "tidegate", "run", str(self.configure("tidegate.yaml"))]

    def environment(self) -> dict[str, str]:
        """As in the benchmark, but for the package that was named."""
        package = self._package or engine.staged()
        own = {"PYTHONPATH": str(package), "TIDEGATE_RUNTIME_DIR": str(self._directory / "run")}
        return {**os.environ, **own}
