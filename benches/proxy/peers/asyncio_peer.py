# SPDX-License-Identifier: Apache-2.0
"""Our own proxy on asyncio."""

from __future__ import annotations

import sys
from importlib.metadata import version

from benches.proxy.cases import Case
from benches.proxy.peers.peer import CONFIGURATIONS, Peer, route_names


class AsyncioProxy(Peer):
    """Our plain asyncio proxy with uvloop and httptools: what the engine would cost in Python."""

    name = "asyncio"
    program = sys.executable
    is_slow = True

    def takes(self, case: Case) -> bool:
        # It shows what Python costs; the whole list would show it again.
        return case.is_usual and not case.tls

    def version(self) -> str:
        return f"uvloop/{version('uvloop')} httptools/{version('httptools')}"

    def command(self, case: Case) -> list[str]:
        ports = [origin.rpartition(":")[2] for origin in self._load.origins[:2]]
        script = str(CONFIGURATIONS / "asyncio_proxy.py")
        log = str(self._directory / "access.log")
        return [sys.executable, script, str(self.port), log, *ports, "--", *route_names(case.routes)]
