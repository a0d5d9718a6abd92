# SPDX-License-Identifier: Apache-2.0
"""Checks in function workers, `python` and `command`, behind a real gateway with all its processes."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tidegate.testing import RunningGateway, endpoint, gateway, wait_until

PATIENCE = 60.0
CODE = """
import asyncio, time
from pathlib import Path
from tidegate.functions import health_check

@health_check
async def asks(endpoint):
    said = Path("said").read_text().strip()
    if said == "hang":
        await asyncio.sleep(3600)
    if said == "raise":
        raise RuntimeError("no idea")
    if said == "nothing":
        return None
    return {"well": True, "ill": False}.get(said, f"{endpoint.host} and {endpoint.port} are {said}")

@health_check
def plain(endpoint):
    return Path("said").read_text().strip() == "well"
"""
OFTEN = "interval: 100ms, timeout: 1s, healthy_after: 1, unhealthy_after: 1"


@contextmanager
def checked(folder: Path, check: str) -> Iterator[tuple[RunningGateway, str]]:
    """A gateway whose one endpoint is checked like this; what it says is in the file `said`."""
    (folder / "checks.py").write_text(CODE)
    with endpoint() as upstream:
        text = f"""
listeners: {{ web: {{ port: 0 }} }}
functions:
  asks: {{ handler: "checks:asks", kind: health_check, path: {folder} }}
  plain: {{ handler: "checks:plain", kind: health_check, path: {folder} }}
backends: {{ b: {{ endpoints: ["{upstream.address}"], health_check: {{ {check}, {OFTEN} }} }} }}
routes: [{{ path: /, to: b }}]
"""
        with gateway(text, processes=True, threads=1, timeout=60.0) as running:
            yield running, upstream.address


def reaches(running: RunningGateway, wanted: str) -> bool:
    """Whether the endpoint comes to be what is wanted."""

    def is_so() -> bool:
        found = [each for each in running.status()["backends"] if each["name"] == "b"]
        return bool(found[0]["endpoints"][0]["health"] == wanted)

    return wait_until(is_so, PATIENCE)


@pytest.mark.parametrize("function", ["asks", "plain"])
def test_a_function_decides(tmp_path: Path, function: str) -> None:
    said = tmp_path / "said"
    said.write_text("well")
    with checked(tmp_path, f"type: python, function: {function}") as (running, _):
        assert reaches(running, "up")
        said.write_text("ill")
        assert reaches(running, "down")
        said.write_text("well")
        assert reaches(running, "up")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("tired", "127.0.0.1 and PORT are tired"),
        ("raise", "the check itself failed"),
        ("nothing", "the check itself failed"),
        ("hang", "no answer in time"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, said: str, why: str) -> None:
    (tmp_path / "said").write_text(said)
    with checked(tmp_path, "type: python, function: asks") as (running, address):
        assert reaches(running, "down")
        why = why.replace("PORT", address.rpartition(":")[2])
        assert wait_until(lambda: why in running._way.output(), PATIENCE), running._way.output()
        (tmp_path / "said").write_text("well")
        assert reaches(running, "up"), "one that hung or failed takes no others along"


def script(folder: Path, text: str) -> str:
    """A shell script; returns the command as YAML."""
    path = folder / "check.sh"
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return json.dumps([str(path), "{address}", "{host}", "{port}", "a b; $HOME"])


def test_a_command_decides_by_its_code_and_gets_the_address(tmp_path: Path) -> None:
    said = tmp_path / "said"
    said.write_text("0")
    arguments = tmp_path / "arguments"
    line = f"printf '%s\\n' \"$@\" > {arguments}.new; mv {arguments}.new {arguments}\n"
    command = script(tmp_path, line + f"echo because; echo more; exit $(cat {said})\n")
    with checked(tmp_path, f"type: command, command: {command}") as (running, address):
        assert reaches(running, "up")
        host, _, port = address.rpartition(":")
        assert arguments.read_text().splitlines() == [address, host, port, "a b; $HOME"]
        said.write_text("3")
        assert reaches(running, "down")
        wanted = "check.sh ended with code 3: because"
        assert wait_until(lambda: wanted in running._way.output(), PATIENCE), running._way.output()


def test_a_command_that_hangs_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    children = tmp_path / "children"
    command = script(tmp_path, f"sleep 3600 &\necho $! >> {children}\nwait\n")
    with checked(tmp_path, f"type: command, command: {command}") as (running, _):
        assert reaches(running, "down")
        first = int(children.read_text().split()[0])
        assert wait_until(lambda: _is_gone(first), PATIENCE)


def test_a_command_that_is_not_there_is_said(tmp_path: Path) -> None:
    with checked(tmp_path, "type: command, command: [/nowhere/check]") as (running, _):
        assert reaches(running, "down")
        wanted = "/nowhere/check cannot be started: no such file or directory"
        assert wait_until(lambda: wanted in running._way.output(), PATIENCE), running._way.output()


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state: Any = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return True
    return bool(state == "Z")
