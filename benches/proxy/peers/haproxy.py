# SPDX-License-Identifier: Apache-2.0
"""HAProxy."""

from __future__ import annotations

import socket

from benches.proxy.cases import Case
from benches.proxy.machine import output
from benches.proxy.peers.peer import Peer, fill, route_names

LONG = 65_536


class Haproxy(Peer):
    """HAProxy, one thread."""

    name = "haproxy"
    program = "haproxy"

    def takes(self, case: Case) -> bool:
        # Debian's is built without QUIC.
        return not (case.files or case.datagrams or case.http3)

    def log_lines(self) -> int:
        return self._load.lines()

    def version(self) -> str:
        words = output(self.executable(), "-v").split()
        return f"haproxy/{words[2]}" if len(words) > 2 else ""

    def command(self, case: Case) -> list[str]:
        route = "  default_backend origin"
        if case.routes > 1:
            lines = "".join(f"/{name}/ origin\n" for name in route_names(case.routes))
            (self._directory / "routes.map").write_text(lines)
            route = f"  use_backend %[path,map_beg({self._directory}/routes.map)]"
        slot = f"  server origin3 {self._load.origins[2]} pool-max-conn -1 pool-purge-delay 3600s disabled"
        text = fill(
            "haproxy-tcp.cfg" if case.relay else "haproxy.cfg",
            directory=self._directory,
            port=self.port,
            connections=self.connections,
            origin_1=self._load.origins[0],
            origin_2=self._load.origins[1],
            spoken=" proto h2" if case.grpc else "",
            # Long bodies by pieces of 64 KiB, as tidegate moves them; its own default is 16.
            buffer="  tune.bufsize 65536" if case.size + case.sent >= LONG else "",
            slot=slot if case.churn else "",
            secured=f" ssl crt {self._load.certificate.both} alpn h2,http/1.1" if case.tls else "",
            scheme="https" if case.tls else "http",
            route=route,
            sink=self._load.sink,
        )
        (self._directory / "haproxy.cfg").write_text(text)
        return [self.executable(), "-db", "-f", str(self._directory / "haproxy.cfg")]

    def change(self, is_there: bool) -> None:
        """Gives a slot an address and opens it, or closes it: how those who discover endpoints drive it."""
        address, _, port = self._load.origins[2].rpartition(":")
        words = ["set server origin/origin3 state maint"]
        if is_there:
            words = [
                f"set server origin/origin3 addr {address} port {port}",
                "set server origin/origin3 state ready",
            ]
        with socket.socket(socket.AF_UNIX) as stats:
            stats.settimeout(5)
            stats.connect(str(self._directory / "admin.sock"))
            stats.sendall((";".join(words) + "\n").encode())
            said = b""
            while part := stats.recv(4096):
                said += part
        text = said.decode(errors="replace").strip()
        if text and "no need to change" not in text and "IP changed" not in text:
            raise RuntimeError(f"haproxy: {text}")
