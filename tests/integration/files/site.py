# SPDX-License-Identifier: Apache-2.0
"""A folder of files with times in the past, and a gateway that sends them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.conformance.http1.peers import wait_for_port
from tests.ports import free_port
from tidegate.testing import Message, RunningGateway, Wire, gateway

THEN = 784_111_777
"""Sun, 06 Nov 1994 08:49:37 GMT, when every file was changed."""
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


def write(path: Path, content: bytes | str, at: float = THEN) -> Path:
    """Writes a file, folders included, as if at `at` seconds since 1970."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    os.utime(path, ns=(int(at * 1e9), int(at * 1e9)))
    return path


def serving(root: Path, settings: str = "", *, route: str = "", path: str = "/") -> RunningGateway:
    """A gateway that sends the files of `root`; names are looked at anew for every request."""
    cache = "" if "cache:" in settings else "cache: { validity: null },"
    text = f"""
listeners: {{ web: {{ port: 0, proxy_status: true }} }}
routes: [{{ name: r, path: {path}, to: {{ files: {{ root: "{root}", {cache} {settings} }} }}, {route} }}]
"""
    return gateway(text, threads=1)


def ask(
    running: RunningGateway | int, target: str, *headers: str, method: str = "GET", version: str = "1.1"
) -> Message:
    """One request on a connection of its own."""
    port = running if isinstance(running, int) else running.port
    lines = [f"{method} {target} HTTP/{version}", "Host: a.test", "Connection: close", *headers]
    with Wire(("127.0.0.1", port)) as wire:
        wire.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), method)
        assert wire.wait_final(1), (target, wire.closed, wire.malformed, bytes(wire.received[:500]))
        return wire.final_responses[0]


@contextmanager
def nginx(root: Path, settings: str = "") -> Iterator[int]:
    """Debian's nginx over the same files; its port."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if program is None:
        raise RuntimeError("nginx is not installed; requirements/debian.txt names its package")
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        temporary = "".join(
            f"{name}_temp_path {folder};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        # As root its worker would become a user that may not read the files.
        user = "user root;" if os.geteuid() == 0 else ""
        configuration = Path(folder, "nginx.conf")
        configuration.write_text(
            f"daemon off; {user} master_process off; error_log {folder}/error.log; pid {folder}/pid;\n"
            f"events {{ }}\nhttp {{ access_log off; {temporary} default_type application/octet-stream;\n"
            f"server {{ listen 127.0.0.1:{port}; root {root}; {settings} }} }}\n"
        )
        command: Sequence[str] = [program, "-p", folder, "-c", str(configuration)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                wait_for_port(port, process)
                yield port
            finally:
                process.terminate()
                process.wait(10)
