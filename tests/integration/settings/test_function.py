# SPDX-License-Identifier: Apache-2.0
"""Settings of functions that control acts on, seen from a client."""

from __future__ import annotations

import json
import os
import textwrap
import venv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tidegate.testing import RunningGateway, gateway, wait_until

from .kit import ask, shows

TIMEOUT = 60.0
CODE = """
    import asyncio, importlib.util, os, sys

    busy = most = 0

    async def tell(request):
        found = importlib.util.find_spec("only_here") is not None
        body = len(await request.body())
        return {"pid": os.getpid(), "prefix": sys.prefix, "only_here": found, "body": body}

    async def waits(request):
        global busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0.1)
        busy -= 1
        return {"most": most}
"""
CONFIGURATION = """
listeners: { web: { port: 8080 } }
functions:
  alone: { handler: "told:tell", path: FOLDER }
  three: { handler: "told:tell", path: FOLDER, workers: 3 }
  one: { handler: "told:tell", path: FOLDER, pool: shared }
  other: { handler: "told:tell", path: FOLDER, pool: shared }
  elsewhere: { handler: "told:tell", path: FOLDER, venv: FOLDER/own }
  small: { handler: "told:tell", path: FOLDER, max_body: 1KiB }
  serial: { handler: "told:waits", path: FOLDER, concurrency: 1, pending: 60s }
  parallel: { handler: "told:waits", path: FOLDER, concurrency: 8, pending: 60s }
routes:
  - { path: /alone, to: { function: alone } }
  - { path: /three, to: { function: three } }
  - { path: /one, to: { function: one } }
  - { path: /other, to: { function: other } }
  - { path: /elsewhere, to: { function: elsewhere } }
  - { path: /small, to: { function: small } }
  - { path: /serial, to: { function: serial } }
  - { path: /parallel, to: { function: parallel } }
"""


@pytest.fixture(autouse=True, scope="module")
def as_whoever_tests() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if os.geteuid() == 0:
            # The interpreter and the test's folder may be closed to others.
            patch.setenv("TIDEGATE_USER", "root")
        yield


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("code")
    (folder / "told.py").write_text(textwrap.dedent(CODE))
    venv.create(folder / "own", with_pip=False, symlinks=True)
    (packages,) = (folder / "own" / "lib").glob("python*/site-packages")
    (packages / "only_here.py").write_text("")
    with gateway(CONFIGURATION.replace("FOLDER", str(folder)), processes=True) as running:
        yield running


def told(running: RunningGateway, path: str, body: bytes = b"") -> dict[str, object]:
    """What a function says of itself."""
    answer = ask(running, path, method="POST" if body else "GET", body=body)
    assert answer.status == 200, (answer, running.output())
    found: dict[str, object] = json.loads(answer.body)
    return found


def test_a_function_has_as_many_processes_as_configured(running: RunningGateway) -> None:
    found: set[object] = set()

    def all_three() -> bool:
        found.add(told(running, "/three")["pid"])
        return len(found) == 3

    assert wait_until(all_three, TIMEOUT)
    assert len({told(running, "/alone")["pid"] for _ in range(20)}) == 1


def test_functions_of_one_pool_share_its_process(running: RunningGateway) -> None:
    one, other, alone = (told(running, path)["pid"] for path in ("/one", "/other", "/alone"))
    assert one == other != alone


def test_a_function_runs_in_the_virtual_environment_it_names(running: RunningGateway) -> None:
    own, ours = told(running, "/elsewhere"), told(running, "/alone")
    assert str(own["prefix"]).endswith("/own") and own["only_here"]
    assert own["prefix"] != ours["prefix"] and not ours["only_here"]


@shows("Function.max_body")
def test_a_body_may_be_as_large_as_its_function_takes(running: RunningGateway) -> None:
    assert told(running, "/small", b"x" * 1024)["body"] == 1024
    assert ask(running, "/small", method="POST", body=b"x" * 1025).status == 413
    assert told(running, "/alone", b"x" * 1025)["body"] == 1025


@shows("Function.concurrency", "Function.pending")
def test_a_process_gets_as_many_calls_at_a_time_as_configured(running: RunningGateway) -> None:
    with ThreadPoolExecutor(8) as threads:

        def most(path: str) -> int:
            return max(
                int(str(each["most"])) for each in threads.map(lambda _: told(running, path), range(8))
            )

        assert most("/serial") == 1
        assert wait_until(lambda: most("/parallel") > 1, TIMEOUT)


def test_code_that_changed_is_taken_up_where_reload_is_on(tmp_path: Path) -> None:
    code = "def f(request):\n    return 'one'\n"
    for name in ("follows", "stays"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.py").write_text(code)
    text = f"""
listeners: {{ web: {{ port: 8080 }} }}
functions:
  follows: {{ handler: "follows:f", path: {tmp_path}/follows, reload: true }}
  stays: {{ handler: "stays:f", path: {tmp_path}/stays }}
routes:
  - {{ path: /follows, to: {{ function: follows }} }}
  - {{ path: /stays, to: {{ function: stays }} }}
"""
    with gateway(text, processes=True) as running:
        assert ask(running, "/follows").body == ask(running, "/stays").body == b"one"
        (tmp_path / "follows" / "follows.py").write_text(code.replace("one", "two"))
        assert wait_until(lambda: ask(running, "/follows").body == b"two", TIMEOUT), running.output()
        # Other code waits until it is asked for.
        (tmp_path / "stays" / "stays.py").write_text(code.replace("one", "two"))
        assert ask(running, "/stays").body == b"one"
        running.reload(text)
        assert wait_until(lambda: ask(running, "/stays").body == b"two", TIMEOUT), running.output()
