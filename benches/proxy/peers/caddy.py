# SPDX-License-Identifier: Apache-2.0
"""Caddy."""

from __future__ import annotations

import json
import os
import urllib.request

from benches.proxy.cases import Case
from benches.proxy.machine import output
from benches.proxy.peers.peer import Peer, fill, route_names


class Caddy(Peer):
    """Caddy, one processor for Go."""

    name = "caddy"
    program = "caddy"
    is_slow = True

    def takes(self, case: Case) -> bool:
        return not (case.relay or case.datagrams)

    def version(self) -> str:
        return f"caddy/{output(self.executable(), 'version').split()[0].removeprefix('v')}"

    def command(self, case: Case) -> list[str]:
        matcher, known = "", ""
        if case.routes > 1:
            # One proxy handler for all: each would keep connections to the origin servers of its own.
            lines = [f"\tvars /{name}/* backend origin" for name in route_names(case.routes)]
            known = "\n".join(["\t@known vars backend origin", *lines])
            matcher = "@known "
        serve = f"file_server {{\n\t\troot {self._directory}/files\n\t}}"
        if not case.files:
            serve = fill(
                "caddy.proxy",
                matcher=matcher,
                origin_1=self._load.origins[0],
                origin_2=self._load.origins[1],
                spoken="versions h2c 2" if case.grpc else "",
            )
        shown = self._load.certificate
        text = fill(
            "Caddyfile",
            directory=self._directory,
            port=self.port,
            admin=self.admin,
            protocols="h1 h2 h3" if case.http3 else "h1 h2",
            site=f"{'https' if case.tls else 'http'}://{'bench.example' if case.tls else ''}",
            secured=f"tls {shown.chain} {shown.key}" if case.tls else "",
            known=known,
            serve=serve,
        )
        (self._directory / "Caddyfile").write_text(text)
        words = ["run", "--adapter", "caddyfile", "--config", str(self._directory / "Caddyfile")]
        return [self.executable(), *words]

    def environment(self) -> dict[str, str]:
        home = str(self._directory)
        own = {"GOMAXPROCS": "1", "HOME": home, "XDG_DATA_HOME": home, "XDG_CONFIG_HOME": home}
        return {**os.environ, **own}

    def change(self, is_there: bool) -> None:
        """Replaces the list by its admin interface."""
        origins = self._load.origins[: 3 if is_there else 2]
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.admin}/config/apps/http/servers/srv0/routes/0/handle/0/upstreams",
            data=json.dumps([{"dial": origin} for origin in origins]).encode(),
            headers={"Content-Type": "application/json"},
            method="PATCH",
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer.read()
