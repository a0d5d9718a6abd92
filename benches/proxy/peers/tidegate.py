# SPDX-License-Identifier: Apache-2.0
"""tidegate itself."""

from __future__ import annotations

import getpass
import os
import sys
from typing import Any

from benches.proxy import engine
from benches.proxy.cases import Case
from benches.proxy.peers.peer import Peer, fill, route_names
from tidegate import runtime
from tidegate.protocol import Channel


class Tidegate(Peer):
    """tidegate as it is run: supervisor, control and a node of one thread, release profile."""

    name = "tidegate"
    program = sys.executable

    def version(self) -> str:
        return f"tidegate/{engine.version()}"

    def command(self, case: Case) -> list[str]:
        names = [f"/{name}" for name in route_names(case.routes)] or ["/"]
        to = f'{{ files: "{self._directory}/files" }}' if case.files else "origin"
        shown = self._load.certificate
        secured = f"tls: {{ certificates: [{{ cert: {shown.chain}, key: {shown.key} }}] }}"
        if case.http3:
            secured = f"{secured}\n    http3: true"
        routes = "\n".join(f"  - {{ path: {path}, to: {to} }}" for path in names)
        if case.grpc:
            routes = f"  - {{ type: grpc, to: origin }}\n{routes}"
        protocol = "tcp" if case.relay else "udp" if case.datagrams else ""
        if protocol:
            routes = f"  - {{ type: {protocol}, listeners: public, to: origin }}"
        text = fill(
            "tidegate.yaml",
            protocol=f"protocol: {protocol}" if protocol else secured if case.tls else "protocol: http",
            idle="" if protocol else "timeouts: { idle: 1h }",
            spoken="http2: true" if case.grpc else "",
            user=getpass.getuser(),
            directory=self._directory,
            port=self.port,
            connections=self.connections,
            admin=self.admin,
            origin_1=self._load.origins[0],
            origin_2=self._load.origins[1],
            routes=routes,
        )
        (self._directory / "tidegate.yaml").write_text(text)
        return [sys.executable, "-m", "tidegate", "run", str(self._directory / "tidegate.yaml")]

    def environment(self) -> dict[str, str]:
        own = {"PYTHONPATH": str(engine.staged()), "TIDEGATE_RUNTIME_DIR": str(self._directory / "run")}
        return {**os.environ, **own}

    def change(self, is_there: bool) -> None:
        """What `tidegate endpoint add` and `remove` ask of control, without Python's start before each."""
        instance = runtime.find(None, self._directory / "run")
        settings: dict[str, Any] = {"settings": {}} if is_there else {}
        with Channel.to(instance.control_socket) as channel:
            channel.call(
                "endpoints.change",
                timeout=5,
                action="add" if is_there else "remove",
                backend="origin",
                address=self._load.origins[2],
                force=False,
                **settings,
            )
