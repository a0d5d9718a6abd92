# SPDX-License-Identifier: Apache-2.0
"""CPU per call of a function worker, over its Unix socket, without a gateway in front.

    python benches/functions/worker.py [--seconds 2] [--json]

For each kind and number of calls in flight: CPU of the worker's process per call (the kernel's
accounting, all threads), calls a second as this client manages them, and whether every answer was right.
The client sends `in flight` calls with one write and waits for all their answers.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import tidegate

CODE = """
    import asyncio, json
    from tidegate import policy, Response

    @policy
    async def reads(request):
        if request.path == "/never" or request.headers.get("x-partner") is None:
            return Response.problem(403)

    @policy
    async def changes(request):
        request.headers["x-tier"] = "gold"

    @policy
    def plain(request):
        request.headers["x-tier"] = "gold"

    async def answers(request):
        return Response(b"hello")

    async def waits(request):
        await asyncio.sleep(0)
        return Response(b"hello")

    def handler(event, context):
        return {"statusCode": 200, "body": "hello"}

    async def app(scope, receive, send):
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"hello"})
"""
CASES = {
    "policy that reads a header": ("reads", "policy"),
    "policy that sets a header": ("changes", "policy"),
    "plain policy (thread)": ("plain", "policy"),
    "function": ("answers", "function"),
    "function that waits once": ("waits", "function"),
    "lambda handler": ("handler", "lambda"),
    "ASGI application": ("app", "asgi"),
}
HEADERS = [
    ("Host", "shop.example"), ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0"),
    ("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"), ("Accept-Language", "en-US,en;q=0.5"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"), ("Cookie", "session=0123456789abcdef; theme=dark"),
    ("X-Partner", "acme"), ("Cache-Control", "no-cache"), ("Referer", "http://shop.example/cart"),
    ("X-Request-Id", "01J0000000000000000000000"),
]  # fmt: skip


Row = dict[str, float | bool]


def text(value: str) -> bytes:
    """A text as it travels."""
    return struct.pack(">I", len(value)) + value.encode()


def request(exchange: int) -> bytes:
    """A `Request` frame for the function `f`."""
    payload = struct.pack(">BBI", 0, 0, 10_000)
    for value in ("GET", "http", "shop.example", "/orders/7", "", "192.0.2.7", "orders", "01J0000", "f"):
        payload += text(value)
    payload += struct.pack(">HH", 0, len(HEADERS))
    payload += b"".join(text(name) + text(value) for name, value in HEADERS)
    return struct.pack(">IBI", 5 + len(payload), 1, exchange) + payload


def cpu_seconds(pid: int) -> float:
    """CPU of all threads of a process."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        total += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
    return total / 1e9


class Client:
    """Sends calls and takes their answers."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.data = b""
        self.frames(1)

    def frames(self, count: int) -> list[int]:
        """Waits for so many final frames and returns their kinds."""
        kinds: list[int] = []
        while len(kinds) < count:
            at = 0
            while len(self.data) - at >= 4:
                (length,) = struct.unpack_from(">I", self.data, at)
                if len(self.data) - at < 4 + length:
                    break
                kind, flag = self.data[at + 4], self.data[at + 9] if length > 5 else 0
                # A `Respond` whose body follows is not the end.
                if not (kind == 0x43 and flag):
                    kinds.append(kind)
                at += 4 + length
            self.data = self.data[at:]
            if len(kinds) < count:
                self.data += self.socket.recv(1 << 20)
        return kinds

    def run(self, pid: int, in_flight: int, seconds: float) -> Row:
        """Measures for some time."""
        number, done, right = 1, 0, True
        for _ in range(50):
            self.socket.sendall(b"".join(request(number + i) for i in range(in_flight)))
            number += in_flight
            self.frames(in_flight)
        batches = []
        for _ in range(200):
            batches.append(b"".join(request(number + i) for i in range(in_flight)))
            number += in_flight
        before, start = cpu_seconds(pid), time.monotonic()
        while (elapsed := time.monotonic() - start) < seconds:
            # Numbers are free again once answered.
            self.socket.sendall(batches[done // in_flight % len(batches)])
            right &= not {0x48} & set(self.frames(in_flight))
            done += in_flight
        used = cpu_seconds(pid) - before
        return {"cpu_us": used / done * 1e6, "calls_per_s": done / elapsed, "right": right}


def measure(handler: str, kind: str, in_flight: list[int], seconds: float) -> dict[int, Row]:
    """Starts a worker and measures it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "code_of_bench.py").write_text(textwrap.dedent(CODE))
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path := f"{folder}/w")
        listener.listen()
        function = {"name": "f", "handler": f"code_of_bench:{handler}", "kind": kind, "concurrency": 1}
        settings = {"functions": [function], "path": folder}
        process = subprocess.Popen(
            [sys.executable, "-P", str(Path(tidegate.__file__).parent / "_worker.py")],
            env={**os.environ, "TIDEGATE_WORKER": json.dumps(settings)},
            preexec_fn=lambda: os.dup2(listener.fileno(), 3, inheritable=True),
            pass_fds=(3,),
        )
        try:
            client = Client(path)
            return {count: client.run(process.pid, count, seconds) for count in in_flight}
        finally:
            process.kill()
            process.wait()


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=2, help="per measurement")
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    results = {name: measure(*case, options.in_flight, options.seconds) for name, case in CASES.items()}
    if options.json:
        print(json.dumps({"python": sys.version.split()[0], "results": results}, indent=2))
        return
    print(f"Python {sys.version.split()[0]}: CPU of the worker per call in microseconds (calls a second)")
    for name, counts in results.items():
        cells = [
            f"{count:4} in flight {row['cpu_us']:6.1f} ({row['calls_per_s']:7.0f})"
            + ("" if row["right"] else " WRONG")
            for count, row in counts.items()
        ]
        print(f"{name:28}", " ".join(cells))


if __name__ == "__main__":
    main()
