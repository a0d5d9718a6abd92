# SPDX-License-Identifier: Apache-2.0
"""nginx."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from benches.proxy.cases import Case
from benches.proxy.machine import output
from benches.proxy.peers.peer import Peer, fill, route_names

STREAM = Path("/usr/lib/nginx/modules/ngx_stream_module.so")


class Nginx(Peer):
    """nginx, one worker process."""

    name = "nginx"
    program = "nginx"

    def version(self) -> str:
        return output(self.executable(), "-v").removeprefix("nginx version: ")

    def takes(self, case: Case) -> bool:
        # Debian's is built without HTTP/3.
        return not case.http3 and (not (case.relay or case.datagrams) or STREAM.exists())

    def command(self, case: Case) -> list[str]:
        self._case = case
        paths = [f"/{name}/" for name in route_names(case.routes)] or ["/"]
        to = "grpc_pass grpc://origin;" if case.grpc else "proxy_pass http://origin;"
        if case.files:
            to = f"root {self._directory}/files;"
        self._blocks = "\n".join(f"    location {path} {{ {to} }}" for path in paths)
        self._write(is_there=False)
        return [self.executable(), "-p", str(self._directory), "-c", str(self._directory / "nginx.conf")]

    def _listen(self) -> str:
        if self._case.datagrams:
            return f"listen 127.0.0.1:{self.port} udp;"
        if not self._case.tls:
            return f"listen 127.0.0.1:{self.port} backlog=4096;"
        shown = self._load.certificate
        return (
            f"listen 127.0.0.1:{self.port} ssl http2 backlog=4096;\n"
            f"    ssl_certificate {shown.chain};\n    ssl_certificate_key {shown.key};\n"
            # Its cheapest way to take sessions up again is by tickets, as tidegate does.
            "    ssl_session_cache off;\n    ssl_protocols TLSv1.2 TLSv1.3;"
        )

    def _write(self, *, is_there: bool) -> None:
        origins = self._load.origins[: 3 if is_there else 2]
        text = fill(
            "nginx-stream.conf" if self._case.relay or self._case.datagrams else "nginx.conf",
            directory=self._directory,
            port=self.port,
            module=STREAM,
            listen=self._listen(),
            connection="upgrade" if self._case.websocket else '""',
            # Said by another than root it is a warning.
            user="user root;" if os.geteuid() == 0 else "",
            # Its limit counts connections to origin servers as well.
            connections=self.connections + 384,
            origins="\n".join(f"    server {origin};" for origin in origins),
            routes=self._blocks,
        )
        (self._directory / "nginx.conf").write_text(text)

    def change(self, is_there: bool) -> None:
        """Writes the file anew and has it read, which is what `nginx -s reload` does."""
        self._write(is_there=is_there)
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)
