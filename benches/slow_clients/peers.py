# SPDX-License-Identifier: Apache-2.0
"""The two proxies, set up to hold as many slow clients as descriptors permit."""

from __future__ import annotations

import getpass
import os
import resource
import sys
from pathlib import Path

from benches.proxy.cases import Case
from benches.proxy.load import Load
from benches.proxy.peers import nginx, tidegate
from benches.proxy.peers.peer import Peer, fill

FOLDER = Path(__file__).parent
package: Path | None = None
"""A folder to import tidegate from; built on first use without one."""


def descriptors() -> int:
    """Files that a process may open here."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


class _Configured(Peer):
    def __init__(self, directory: Path, core: int, load: Load, slow: Load) -> None:
        super().__init__(directory, core, load)
        self._slow = slow

    def configure(self, template: str) -> Path:
        """Fills in a file of this folder."""
        text = fill(
            str(FOLDER / template),
            directory=self._directory,
            port=self.port,
            user=getpass.getuser(),
            descriptors=descriptors(),
            origin_1=self._load.origins[0],
            origin_2=self._load.origins[1],
            slow_1=self._slow.origins[0],
            slow_2=self._slow.origins[1],
        )
        written = self._directory / template
        written.write_text(text)
        return written


class Nginx(_Configured, nginx.Nginx):
    """nginx, one worker process."""

    def command(self, case: Case) -> list[str]:
        """Writes the configuration."""
        return [self.executable(), "-p", str(self._directory), "-c", str(self.configure("nginx.conf"))]


class Tidegate(_Configured, tidegate.Tidegate):
    """tidegate as it is run, release profile, one thread."""

    def command(self, case: Case) -> list[str]:
        """Writes the configuration."""
        return [sys.executable, "-m", "tidegate", "run", str(self.configure("tidegate.yaml"))]

    def environment(self) -> dict[str, str]:
        """As in the benchmark, but for the package that was named."""
        if package is None:
            return super().environment()
        own = {"PYTHONPATH": str(package), "TIDEGATE_RUNTIME_DIR": str(self._directory / "run")}
        return {**os.environ, **own}
