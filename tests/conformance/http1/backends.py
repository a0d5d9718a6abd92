# SPDX-License-Identifier: Apache-2.0
"""Real servers that tell what they took a request for. See servers/."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conformance.http1.peers import wait_for_port
from tests.ports import free_port

FOLDER = Path(__file__).parent / "servers"
PATH = "/usr/local/go/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin"
PYTHON = {
    "uvicorn-httptools": "httptools",
    "uvicorn-h11": "uvicorn",
    "gunicorn": "gunicorn",
    "aiohttp": "aiohttp",
    "h11": "h11",
}
NAMES = ["nginx", "Node http", "Go net/http", *PYTHON]


@dataclass(frozen=True)
class Recorder:
    """A running server."""

    name: str
    port: int

    def count(self) -> int:
        """How many messages it saw, those it could not read among them."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/echo-count", timeout=5) as response:
            text = response.read().decode()
        if self.name == "nginx":
            return int(re.findall(r"\d+", text)[3])
        counted = json.loads(text)
        return int(counted["count"]) + int(counted["malformed"])

    @property
    def counts_its_questions(self) -> bool:
        """Whether `count` itself counts."""
        return self.name == "nginx"


@contextlib.contextmanager
def running(name: str) -> Iterator[Recorder]:
    """Starts one of NAMES; skips the test by name when it is not installed."""
    with tempfile.TemporaryDirectory() as folder:
        command, port = _command(name, Path(folder))
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            try:
                assert process.stdout is not None
                if not port:
                    port = int(process.stdout.readline())
                wait_for_port(port, process)
                yield Recorder(name, port)
            finally:
                process.terminate()
                process.wait(10)


def _program(name: str) -> str:
    found = shutil.which(name, path=PATH) or shutil.which(name)
    if found is None:
        pytest.skip(f"not on this machine: {name} (make packages)")
    return found


def _command(name: str, folder: Path) -> tuple[list[str], int]:
    """What to run, and the port where the server cannot tell it."""
    if name == "nginx":
        port = free_port()
        text = (FOLDER / "nginx.conf").read_text().replace("FOLDER", str(folder)).replace("PORT", str(port))
        (folder / "nginx.conf").write_text(text)
        return [_program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf")], port
    if name == "Node http":
        return [_program("node"), str(FOLDER / "server.mjs")], 0
    if name == "Go net/http":
        built = folder / "server"
        build = [_program("go"), "build", "-o", str(built), str(FOLDER / "server.go")]
        subprocess.run(build, check=True, timeout=300, cwd=folder)
        return [str(built)], 0
    for module in (PYTHON[name], name.partition("-")[0]):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"not in this environment: {module} (make setup)")
    return [sys.executable, str(FOLDER / "python_server.py"), name], 0
