# SPDX-License-Identifier: Apache-2.0
"""A server of a user's own: `python server.py PORT`. What it does is in its environment.

`ANSWER` is the body of every answer; `/pid` answers with its process, `/slow` once there is a file `gate`.
`UNWELL`: its health check fails. `DIES`, or a file `gone`: it ends at once. `DEAF`: it does not end on
SIGTERM. `ABRUPT`: it ends on SIGTERM whatever it has to do. `SLOW_START`: it takes its time. `CHILD`: it has
one.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        while self.path == "/slow" and not os.path.exists("gate"):
            time.sleep(0.02)
        status = 503 if self.path == "/healthz" and "UNWELL" in os.environ else 200
        body = (str(os.getpid()) if self.path == "/pid" else os.environ.get("ANSWER", "")).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128


def main() -> None:
    if "DIES" in os.environ or os.path.exists("gone"):
        sys.exit("this one never starts")
    if "SLOW_START" in os.environ:
        time.sleep(1)
    server = Server(("127.0.0.1", int(sys.argv[1])), Handler)

    def stop(*_: object) -> None:
        if "ABRUPT" in os.environ:
            os._exit(0)
        # Requests under way end first; connections without one are closed with the process.
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, signal.SIG_IGN if "DEAF" in os.environ else stop)
    if "CHILD" in os.environ:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print("child", child.pid, flush=True)
    print("listening in", os.getcwd(), flush=True)
    server.serve_forever(poll_interval=0.05)
    os._exit(0)


main()
