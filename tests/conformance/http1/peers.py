# SPDX-License-Identifier: Apache-2.0
"""Other proxies in front of the fake endpoint, to see what they make of the same bytes.

They are a comparison, never a judgement, and how the player itself is tried out: `run.py --gateway nginx`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.conformance.http1.player import Target
from tests.ports import free_port
from tidegate.testing import Script, endpoint

TIMEOUT = float(os.environ.get("PLAYER_TIMEOUT", "1"))

_NGINX = """
daemon off; master_process off; error_log {folder}/error.log; pid {folder}/nginx.pid;
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  upstream origin {{ server {endpoint}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Host $host;
      proxy_set_header Connection ""; proxy_set_header Via "1.1 nginx"; proxy_request_buffering off;
      proxy_set_header X-Forwarded-For $remote_addr;
    }}
  }}
}}
"""

_HAPROXY = """
global
  maxconn 512
defaults
  mode http
  option forwardfor
  timeout client 10s
  timeout server 10s
  timeout connect 3s
frontend web
  bind 127.0.0.1:{port}
  http-request add-header Via "1.1 haproxy"
  default_backend origin
backend origin
  server one {endpoint}
"""


def wait_for_port(port: int, process: subprocess.Popen[bytes], timeout: float = 30.0) -> None:
    """Waits until something listens on `port` of loopback."""
    end = time.monotonic() + timeout
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{process.args!r} does not listen on {port}")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.02)


@contextlib.contextmanager
def running(peer: str) -> Iterator[Target]:
    """Runs `nginx` or `haproxy` in front of a fake endpoint."""
    program = shutil.which(peer, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if program is None:
        raise RuntimeError(f"{peer} is not installed")
    with tempfile.TemporaryDirectory() as folder, endpoint() as upstream:
        port = free_port()
        file = Path(folder) / "peer.conf"
        template = _NGINX if peer == "nginx" else _HAPROXY
        file.write_text(template.format(folder=folder, port=port, endpoint=upstream.address))
        command = (
            [program, "-p", folder, "-c", str(file)] if peer == "nginx" else [program, "-db", "-f", str(file)]
        )
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                wait_for_port(port, process)
                upstream.begin(Script())
                yield Target(("127.0.0.1", port), upstream, TIMEOUT, is_peer=True)
            finally:
                process.terminate()
                process.wait(10)
