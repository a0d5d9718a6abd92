# SPDX-License-Identifier: Apache-2.0
"""Workers that do not take calls, beside others that do and alone: what becomes of the calls."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import textwrap
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tidegate.testing import RunningGateway, gateway, wait_until

LATE = 10.0
"""Seconds after which a call counts as late: far below the deadline of 60, far above a slow machine."""

CODE = """
    import asyncio, json, os, pathlib, socket, time
    from tidegate import policy, Response

    def start():
        settings = pathlib.Path("/proc/self/environ").read_bytes().split(b"TIDEGATE_WORKER=")[1]
        number = json.loads(settings.split(b"\\0")[0])["number"]
        orders = pathlib.Path(__file__).with_name(f"order{number}")
        match orders.read_text() if orders.exists() else "":
            case "hang":
                time.sleep(3600)
            case "mute":
                # Takes every connection, and says nothing on any.
                with socket.socket(fileno=os.dup(3)) as listener:
                    listener.setblocking(True)
                    kept = []
                    while True:
                        kept.append(listener.accept())
            case "exit":
                os._exit(7)
            case "slow":
                time.sleep(2)
        return number

    number = start()

    async def tell(request):
        if request.path == "/tell/long":
            await asyncio.sleep(3600)
        return f"{number} {os.getpid()}"

    @policy
    async def let_pass(request):
        request.headers["x-number"] = str(number)
"""
CONFIGURATION = """
listeners: { web: { port: 8080, proxy_status: true } }
functions:
  tell: { handler: "ready_code:tell", EVERY }
  let_pass: { handler: "ready_code:let_pass", kind: policy, EVERY }
routes:
  - { path: /tell, to: { function: tell } }
  - { path: /pass, policies: [{ type: python, function: let_pass }], to: { respond: fixed } }
"""


class Workers:
    """A gateway with two workers that do at import what they are ordered to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.code = folder / "ready_code.py"
        self.code.write_text(textwrap.dedent(CODE))

    def order(self, what: str, *numbers: int) -> None:
        for number in numbers:
            file = self.folder / f"order{number}"
            file.write_text(what) if what else file.unlink(missing_ok=True)

    def text(self, pending: str = "1s") -> str:
        every = f"path: {self.folder}, pool: all, workers: 2, deadline: 60s, pending: {pending}"
        return CONFIGURATION.replace("EVERY", every)

    def gateway(self, pending: str = "1s") -> RunningGateway:
        return gateway(self.text(pending), processes=True, timeout=30)


@pytest.fixture
def workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workers:
    if os.geteuid() == 0:
        # The interpreter and the test's folder may be closed to others.
        monkeypatch.setenv("TIDEGATE_USER", "root")
    return Workers(tmp_path)


class Answer:
    """What one call came to, on a connection of its own: both threads of the node get some."""

    def __init__(self, running: RunningGateway, path: str) -> None:
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=90)
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            self.status, self.body = response.status, response.read().decode()
            self.reason = response.headers.get("proxy-status", "")
            self.seconds = time.monotonic() - began


def ask_often(running: RunningGateway, count: int = 40) -> list[Answer]:
    return [Answer(running, path) for _ in range(count // 2) for path in ("/tell", "/pass")]


def pids(running: RunningGateway, *, until: int) -> dict[int, int]:
    """Process identifiers by number of worker, asked for until there are so many."""
    found: dict[int, int] = {}

    def is_enough() -> bool:
        answer = Answer(running, "/tell")
        if answer.status == 200:
            number, pid = answer.body.split()
            found[int(number)] = int(pid)
        return len(found) >= until

    assert wait_until(is_enough, 60), running.output()
    return found


def kill(running: RunningGateway, pid: int) -> None:
    before = running.output().count("function worker ended")
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: running.output().count("function worker ended") > before, 20)


@pytest.mark.parametrize("order", ["hang", "mute", "exit"])
def test_a_worker_that_never_gets_ready_costs_no_call(workers: Workers, order: str) -> None:
    workers.order(order, 1)
    with workers.gateway() as running:
        # The first ones come while the good worker still starts.
        answers = ask_often(running)
    assert {answer.status for answer in answers} == {200}
    assert max(answer.seconds for answer in answers) < LATE


@pytest.mark.parametrize("order", ["hang", "mute", "exit"])
def test_calls_pass_a_killed_worker_over_until_its_successor_is_ready(workers: Workers, order: str) -> None:
    with workers.gateway() as running:
        both = pids(running, until=2)
        workers.order(order, 1)
        kill(running, both[1])
        answers = ask_often(running)
        assert {answer.status for answer in answers} == {200}
        assert max(answer.seconds for answer in answers) < LATE
        assert set(pids(running, until=1)) == {0}
        if order == "exit":
            # Whatever restart comes next finds it repaired.
            workers.order("", 1)
            assert pids(running, until=2)[1] != both[1]


def test_without_any_worker_a_call_is_refused_soon_and_told_why(workers: Workers) -> None:
    with workers.gateway() as running:
        both = pids(running, until=2)
        workers.order("exit", 0, 1)
        for pid in both.values():
            kill(running, pid)
        for path in ("/tell", "/pass"):
            answer = Answer(running, path)
            assert (answer.status, answer.seconds < LATE) == (503, True)
            assert "destination_unavailable" in answer.reason
        said = "no worker of the function is ready"
        assert wait_until(lambda: sum(said in str(entry.get("detail")) for entry in running.log()) == 2)
        workers.order("", 0, 1)
        assert set(pids(running, until=2)) == {0, 1}
        assert Answer(running, "/pass").status == 200


def test_a_start_waits_for_code_that_loads_slowly(workers: Workers) -> None:
    workers.order("slow", 0, 1)
    # Longer than `pending`, and yet no call is refused.
    with workers.gateway(pending="100ms") as running:
        answers = ask_often(running, 4)
    assert {answer.status for answer in answers} == {200}


def test_a_reload_with_code_that_loads_slowly_refuses_no_call(workers: Workers) -> None:
    with workers.gateway(pending="100ms") as running:
        pids(running, until=2)
        workers.order("slow", 0, 1)
        workers.code.write_text(workers.code.read_text() + "\n# changed\n")
        before = set(pids(running, until=2).values())
        answers, stop = list[Answer](), threading.Event()

        def ask() -> None:
            while not stop.is_set():
                answers.extend(ask_often(running, 2))

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            running.reload(workers.text(pending="100ms"))
            assert wait_until(lambda: before.isdisjoint(pids(running, until=1).values()), 30)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert {answer.status for answer in answers} == {200}
    assert max(answer.seconds for answer in answers) < LATE


def test_a_call_waits_as_long_as_pending_says(workers: Workers) -> None:
    with workers.gateway(pending="2s") as running:
        both = pids(running, until=2)
        workers.order("exit", 0, 1)
        for pid in both.values():
            kill(running, pid)
        for path in ("/tell", "/pass"):
            answer = Answer(running, path)
            assert (answer.status, answer.seconds >= 2) == (503, True)
        running.reload(workers.text(pending="10ms"))
        # A slow machine may take its time for one call, and not for all.
        for path in ("/tell", "/pass"):
            assert wait_until(partial(is_answered_soon, running, path), 60)


def is_answered_soon(running: RunningGateway, path: str) -> bool:
    return Answer(running, path).seconds < 2


def test_a_call_waits_for_room_as_long_as_pending_says(workers: Workers) -> None:
    text = workers.text(pending="100ms").replace("deadline: 60s", "deadline: 5s, concurrency: 1")
    with gateway(text, processes=True, timeout=30) as running:
        pids(running, until=2)
        with contextlib.ExitStack() as stack:
            for connection in held(running, 2):
                stack.enter_context(contextlib.closing(connection))
            found: list[Answer] = []

            def is_full() -> bool:
                found.append(Answer(running, "/tell"))
                return found[-1].status != 200

            assert wait_until(is_full, 20)
        assert (found[-1].status, "pending_timeout" in found[-1].reason) == (503, True)


def held(running: RunningGateway, count: int) -> Iterator[http.client.HTTPConnection]:
    """Connections on which a call is under way that does not end."""
    for _ in range(count):
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=90)
        connection.request("GET", "/tell/long")
        yield connection
