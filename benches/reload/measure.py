# SPDX-License-Identifier: Apache-2.0
"""The measuring itself, with whatever engine this process imports; prints JSON."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tidegate.testing import RunningGateway, gateway

HOSTS = 100
"""The routes are spread over as many hosts; within one, half are exact and half are templates."""
TIMEOUT = 60.0
STARTS = 5


def host_of(number: int) -> str:
    """The host of one route."""
    return f"h{number % HOSTS}.example"


def configuration(routes: int, port: int, answer: str, path: str = "", endpoint: int = 9) -> str:
    """A gateway of `routes` routes; `answer` and `path` are those of the one in the middle."""
    lines = [f"listeners: {{web: {{address: 127.0.0.1, port: {port}}}}}", "backends:"]
    lines += [f"  shop: {{endpoints: ['127.0.0.1:{endpoint}']}}", "routes:"]
    for number in range(routes):
        match = f"{{exact: /r{number}}}" if number % 2 else f"'/r{number}/{{id}}'"
        to = "shop"
        if number == routes // 2:
            match, to = f"{{exact: /changed{path}}}", f"{{respond: {answer}}}"
        lines.append(
            f"  - {{name: r{number}, hosts: [{host_of(number)}], match: {{path: {match}}}, to: {to}}}"
        )
    return "\n".join(lines) + "\n"


def measure(routes: int, rounds: int) -> dict[str, Any]:
    """All figures, in milliseconds: `median` and `most` of `rounds` each."""
    return {
        "load_before": round(os.getloadavg()[0], 1),
        "routes": routes,
        "rounds": rounds,
        "node": node(routes, rounds),
        "save_to_served": save_to_served(routes, rounds),
        "cold_start": {count: cold_start(count) for count in (1, routes)},
    }


def summary(values: list[float]) -> dict[str, float]:
    """Of milliseconds."""
    return {"median": round(statistics.median(values), 2), "most": round(max(values), 2)}


def node(routes: int, rounds: int) -> dict[str, Any]:
    """The node's part of three kinds of change."""
    kinds: dict[str, Callable[[int], str]] = {
        "one answer": lambda turn: configuration(routes, 0, f"v{turn}"),
        "one match": lambda turn: configuration(routes, 0, "v", path=str(turn)),
        "one endpoint": lambda turn: configuration(routes, 0, "v", endpoint=10 + turn),
    }
    found: dict[str, Any] = {}
    with gateway(configuration(routes, 0, "first"), threads=2, timeout=TIMEOUT) as running:
        for kind, text in kinds.items():
            running.reload(text(0))
            found[kind] = one_kind(running, text, rounds)
    return found


def one_kind(running: RunningGateway, text: Callable[[int], str], rounds: int) -> dict[str, Any]:
    """Building, swapping, and both."""
    replies = [running.reload(text(turn)) for turn in range(1, rounds + 1)]
    build = [reply["build_us"] / 1000 for reply in replies]
    swap = [reply["swap_us"] / 1000 for reply in replies]
    both = [one + other for one, other in zip(build, swap, strict=True)]
    return {"build": summary(build), "swap": summary(swap), "both": summary(both)}


def save_to_served(routes: int, rounds: int) -> dict[str, float]:
    """From the rename of the file to the first new answer."""
    with tempfile.TemporaryDirectory() as folder, watching(Path(folder), routes) as (file, port):
        host, took = host_of(routes // 2), []
        for turn in range(rounds):
            answer = f"turn-{turn}"
            fresh = file.with_suffix(".new")
            fresh.write_text(configuration(routes, port, answer))
            begun = time.monotonic()
            fresh.rename(file)
            if not served(port, host, answer):
                raise RuntimeError(f"not served within {TIMEOUT:g} s")
            took.append((time.monotonic() - begun) * 1000)
    return summary(took)


def cold_start(routes: int) -> dict[str, float]:
    """From the start of `tidegate run` until the first answer."""
    took = []
    for _ in range(STARTS):
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder, watching(Path(folder), routes):
            took.append((time.monotonic() - begun) * 1000)
    return summary(took)


@contextmanager
def watching(folder: Path, routes: int) -> Iterator[tuple[Path, int]]:
    """`tidegate run --watch` on a file; yields the file and the port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    file = folder / "gateway.yaml"
    file.write_text(configuration(routes, port, "first"))
    command = [
        sys.executable,
        "-m",
        "tidegate",
        "run",
        str(file),
        "--watch",
        "--threads",
        "2",
        "--name",
        "reload",
    ]
    environment = {**os.environ, "TIDEGATE_RUNTIME_DIR": str(folder / "run")}
    if os.geteuid() == 0:
        environment["TIDEGATE_USER"] = "root"
    with open(folder / "output", "wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        if not served(port, host_of(routes // 2), "first"):
            raise RuntimeError((folder / "output").read_text())
        yield file, port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(TIMEOUT)


def served(port: int, host: str, answer: str) -> bool:
    """Asks until `answer` comes, on one connection as long as it lives."""
    end = time.monotonic() + TIMEOUT
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        while time.monotonic() < end:
            try:
                connection.request("GET", "/changed", headers={"host": host})
                if connection.getresponse().read().decode().strip() == answer:
                    return True
            except OSError:
                connection.close()
            time.sleep(0.002)  # how finely this is measured
        return False
    finally:
        connection.close()


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m benches.reload")
    parser.add_argument("--routes", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    print(json.dumps(measure(options.routes, options.rounds)))


if __name__ == "__main__":
    main()
