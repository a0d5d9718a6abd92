# SPDX-License-Identifier: Apache-2.0
"""The measuring itself, with whatever engine this process imports; prints JSON."""

from __future__ import annotations

import argparse
import json
import os
import selectors
import socket
import tempfile
import textwrap
import time
from pathlib import Path

from tidegate.testing import RunningGateway, gateway

CODE = """
    from tidegate import policy, Response

    @policy
    async def reads(request):
        if request.headers.get("x-partner") is None:
            return Response.problem(403)

    @policy
    async def around(request, call_next):
        response = await call_next(request)
        response.headers["x-served-by"] = "shop"
        return response

    async def answers(request):
        return Response(b"hello")

    def handler(event, context):
        return {"statusCode": 200, "body": "hello"}

    async def app(scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
            await send({"type": "http.response.body", "body": b"hello"})
"""
CONFIGURATION = """
gateway: { threads: 1 }
listeners: { web: { port: 8080 } }
functions:
  reads: { handler: "code_of_bench:reads", kind: policy, path: FOLDER }
  around: { handler: "code_of_bench:around", kind: policy, path: FOLDER }
  answers: { handler: "code_of_bench:answers", path: FOLDER }
  handler: { handler: "code_of_bench:handler", kind: lambda, path: FOLDER }
  app: { handler: "code_of_bench:app", kind: asgi, path: FOLDER }
routes:
  - { path: /fixed, to: { respond: hello } }
  - { path: /reads, policies: [{ type: python, function: reads }], to: { respond: hello } }
  - { path: /around, policies: [{ type: python, function: around }], to: { respond: hello } }
  - { path: /answers, to: { function: answers } }
  - { path: /handler, to: { function: handler } }
  - { path: /app, to: { function: app } }
"""
CASES = {
    "fixed answer, no Python": ("/fixed", ""),
    "policy that reads a header": ("/reads", "reads"),
    "policy around the response": ("/around", "around"),
    "function": ("/answers", "answers"),
    "lambda handler": ("/handler", "handler"),
    "ASGI application": ("/app", "app"),
}
REQUEST = (
    "GET {path} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: bench/1\r\nAccept: */*\r\n"
    "Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en\r\nCookie: session=0123456789abcdef\r\n"
    "X-Partner: acme\r\nCache-Control: no-cache\r\nReferer: http://shop.example/cart\r\n\r\n"
)
Row = dict[str, float | bool]


def cpu_seconds(pid: int) -> float:
    """CPU of all threads of a process."""
    tasks = Path(f"/proc/{pid}/task")
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9


def workers(running: RunningGateway) -> dict[str, int]:
    """The process of each pool, from what the supervisor said."""
    lines = [json.loads(line) for line in running.output().splitlines() if line.startswith("{")]
    started = [line for line in lines if line["message"] == "function worker started"]
    return {line["pool"]: line["pid"] for line in started}


class Load:
    """Connections with one request each."""

    def __init__(self, port: int, path: str, count: int) -> None:
        self.request = REQUEST.format(path=path).encode()
        self.selector = selectors.EpollSelector()
        self.connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
        for connection in self.connections:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.selector.register(connection, selectors.EVENT_READ)
            connection.sendall(self.request)

    def run(self, seconds: float) -> tuple[int, bool, float]:
        """Answers, whether all were right, seconds."""
        done, right, start = 0, True, time.monotonic()
        while (elapsed := time.monotonic() - start) < seconds:
            for key, _ in self.selector.select():
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                answer = connection.recv(65536)
                while answer and not answer.endswith(b"hello"):
                    answer += connection.recv(65536)
                right &= answer.startswith(b"HTTP/1.1 200")
                done += 1
                connection.sendall(self.request)
        return done, right, elapsed


def measure(running: RunningGateway, case: tuple[str, str], count: int, seconds: float) -> Row:
    """One cell of the table."""
    path, pool = case
    node = int(running.status()["pid"])
    worker = workers(running).get(pool)
    load = Load(running.port, path, count)
    load.run(0.3)
    before = cpu_seconds(node), cpu_seconds(worker) if worker else 0.0
    done, right, elapsed = load.run(seconds)
    after = cpu_seconds(node), cpu_seconds(worker) if worker else 0.0
    for connection in load.connections:
        connection.close()
    return {
        "node_us": (after[0] - before[0]) / done * 1e6,
        "worker_us": (after[1] - before[1]) / done * 1e6,
        "requests_per_s": done / elapsed,
        "right": right,
    }


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m benches.functions")
    parser.add_argument("--seconds", type=float, default=3, help="per measurement")
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 16, 32])
    options = parser.parse_args()
    if os.geteuid() == 0:
        os.environ.setdefault("TIDEGATE_USER", "root")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "code_of_bench.py").write_text(textwrap.dedent(CODE))
        with gateway(CONFIGURATION.replace("FOLDER", folder), processes=True, threads=1) as running:
            results = {
                name: {count: measure(running, case, count, options.seconds) for count in options.in_flight}
                for name, case in CASES.items()
            }
    print(json.dumps({"results": results}))


if __name__ == "__main__":
    main()
