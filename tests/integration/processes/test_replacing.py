# SPDX-License-Identifier: Apache-2.0
"""Processes of a backend are replaced one by one, and what is no good takes nobody's place."""

import contextlib
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.processes.site import load, pids, site, text, told, wait_ready, wait_until
from tests.integration.supervised import DEADLINE, Supervised, wait_gone

CHECK = "health_check: { type: http, path: /healthz, interval: 200ms }"


def test_a_restart_under_load_loses_nothing(tmp_path: Path) -> None:
    with site(tmp_path, text(count=3)) as gateway, load(gateway) as seen:
        before = pids(gateway)
        restarted = gateway.run("restart", "app")
        assert (restarted.returncode, restarted.stderr) == (0, "")
        assert "backend app: 3 of 3 processes replaced" in restarted.stdout
        assert not set(wait_ready(gateway, 3)) & set(before)
        [backend] = json.loads(gateway.run("restart", "app", "--json").stdout)["backends"]
        assert (backend["count"], backend["rolling"], backend["problem"]) == (3, False, "")
    assert seen.failures == [] and seen.answers == {"one"}


def test_another_command_takes_over_under_load_and_loses_nothing(tmp_path: Path) -> None:
    with site(tmp_path, text(backend=CHECK)) as gateway, load(gateway) as seen:
        for answer in ("two", "three"):
            gateway.write(text(answer, backend=CHECK))
            reloaded = gateway.run("reload")
            assert reloaded.returncode == 0, reloaded.stderr
            assert "changed processes of app" in reloaded.stdout
            assert {gateway.get() for _ in range(4)} == {answer}
        wait_ready(gateway, 2)
    assert seen.failures == [] and seen.answers == {"one", "two", "three"}


def test_a_command_that_does_not_start_keeps_the_old_one(tmp_path: Path) -> None:
    with site(tmp_path, text()) as gateway, load(gateway) as seen:
        before = pids(gateway)
        gateway.write(text("two", environment='DIES: "1"'))
        reloaded = gateway.run("reload")
        assert reloaded.returncode == 1
        assert "backend app: the new process ended (exit code 1)" in reloaded.stderr
        assert "the 2 before go on" in reloaded.stderr
        gateway.wait_event("this one never starts")
        assert wait_ready(gateway, 2) == before and "ended" in told(gateway)["problem"]
        assert "the new process ended" in gateway.run("status").stdout
        gateway.write(text("two"))
        assert gateway.run("reload").returncode == 0
        assert gateway.get() == "two"
        assert told(gateway)["problem"] == ""
    assert seen.failures == []


def test_one_that_stays_unwell_keeps_the_old_one(tmp_path: Path) -> None:
    settings = "start_timeout: 2s"
    with site(tmp_path, text(backend=CHECK, settings=settings)) as gateway, load(gateway) as seen:
        before = pids(gateway)
        gateway.write(text("two", environment='UNWELL: "1"', backend=CHECK, settings=settings))
        reloaded = gateway.run("reload", "--json")
        assert reloaded.returncode == 1
        [backend] = json.loads(reloaded.stdout)["backends"]
        # It may not even have come so far as to be asked.
        assert "the new process did not" in backend["problem"] and "within 2 s" in backend["problem"]
        assert wait_ready(gateway, 2) == before
    assert seen.failures == [] and seen.answers == {"one"}


def test_another_count_starts_and_ends_the_difference(tmp_path: Path) -> None:
    with site(tmp_path, text(count=1)) as gateway, load(gateway) as seen:
        [first] = pids(gateway)
        gateway.write(text(count=3))
        assert gateway.run("reload").returncode == 0
        assert wait_ready(gateway, 3)[0] == first
        gateway.write(text(count=2))
        assert gateway.run("reload").returncode == 0
        assert wait_ready(gateway, 2)[0] == first
        gateway.write(text("two", count=3))
        assert gateway.run("reload").returncode == 0
        wait_ready(gateway, 3)
    assert seen.failures == [] and seen.answers == {"one", "two"}


def test_a_request_under_way_is_waited_for(tmp_path: Path) -> None:
    # The server would cut it: it ends as soon as it is told to, whatever it has.
    with site(tmp_path, text(count=1, environment='ABRUPT: "1"')) as gateway:
        answers: list[str] = []
        slow = threading.Thread(target=lambda: answers.append(gateway.get("/slow")))
        slow.start()
        wait_until(lambda: _in_flight(gateway) == 1, "it did not get there")
        restart = threading.Thread(target=lambda: gateway.run("restart", "app"))
        restart.start()
        wait_until(lambda: "draining" in _states(gateway), "it was not replaced")
        assert gateway.get() == "one" and not answers
        (tmp_path / "gate").touch()
        slow.join()
        restart.join()
        assert answers == ["one"]
        wait_ready(gateway, 1)


def test_a_request_that_takes_too_long_is_not_waited_for(tmp_path: Path) -> None:
    settings = "drain_timeout: 100ms"
    with site(tmp_path, text(count=1, environment='ABRUPT: "1"', settings=settings)) as gateway:
        answers: list[str] = []
        slow = threading.Thread(target=lambda: answers.append(gateway.get("/slow")))
        slow.start()
        wait_until(lambda: _in_flight(gateway) == 1, "it did not get there")
        assert gateway.run("restart", "app").returncode == 0
        # It went with its process: it failed, or is being repeated at the next one, as GET may be.
        assert answers != ["one"]
        (tmp_path / "gate").touch()
        slow.join()


def test_a_replacement_that_control_dies_in_is_finished_by_the_next(tmp_path: Path) -> None:
    with site(tmp_path, text(count=3)) as gateway, load(gateway) as seen:
        gateway.log()
        gateway.write(text("two", count=3, environment='SLOW_START: "1"'))
        restart = threading.Thread(target=lambda: gateway.run("reload"))
        restart.start()
        gateway.wait_event("process started")
        os.kill(gateway.pid("control"), signal.SIGKILL)
        gateway.wait_ready()
        restart.join()
        wait_until(lambda: {gateway.get() for _ in range(6)} == {"two"}, "it stopped half way")
        wait_ready(gateway, 3)
    assert seen.failures == [] and seen.answers == {"one", "two"}


NONE = """
gateway: { threads: 2, graceful_stop: 5s }
listeners: { web: { address: 127.0.0.1, port: PORT } }
routes: [{ path: /, to: { respond: none } }]
"""
OTHER = """
gateway: { threads: 2, graceful_stop: 5s }
listeners: { web: { address: 127.0.0.1, port: PORT } }
backends: { app: ["127.0.0.1:9"] }
routes: [{ path: /other, to: app }, { path: /, to: { respond: none } }]
"""


@pytest.mark.parametrize("after", [NONE, OTHER], ids=["backend", "processes"])
def test_what_is_wanted_no_more_ends_after_its_requests(tmp_path: Path, after: str) -> None:
    with site(tmp_path, text(environment='ABRUPT: "1"')) as gateway:
        before = pids(gateway)
        with slow(gateway, 4) as answers:
            gateway.write(after)
            assert gateway.run("reload").returncode == 0
            # It returns at once, and nothing new comes to them.
            assert gateway.get() == "none" and not answers
            assert _states(gateway) <= {"draining", "stopping"}
            # A control that dies meanwhile leaves it to the next.
            os.kill(gateway.pid("control"), signal.SIGKILL)
            gateway.wait_ready()
            assert not answers
            (tmp_path / "gate").touch()
        assert answers == ["one"] * 4
        for pid in before:
            wait_gone(pid)


def test_what_is_wanted_no_more_ends_when_its_requests_take_too_long(tmp_path: Path) -> None:
    # Nobody starts another: a request that was cut is answered long before it would be given up.
    settings = "drain_timeout: 100ms\n      wait: 120s"
    with site(tmp_path, text(settings=settings, environment='ABRUPT: "1"')) as gateway:
        before = pids(gateway)
        with slow(gateway, 1) as answers:
            gateway.write(NONE)
            assert gateway.run("reload").returncode == 0
            for pid in before:
                wait_gone(pid)
        assert len(answers) == 1 and "one" not in answers
        assert gateway.stop() == 0


def test_what_is_wanted_again_stays(tmp_path: Path) -> None:
    with site(tmp_path, text(environment='ABRUPT: "1"')) as gateway:
        before = pids(gateway)
        # Enough for both to have one.
        with slow(gateway, 4) as answers:
            gateway.write(NONE)
            assert gateway.run("reload").returncode == 0
            gateway.write(text(environment='ABRUPT: "1"'))
            assert gateway.run("reload").returncode == 0
            assert wait_ready(gateway, 2) == before
            assert gateway.get() == "one"
            (tmp_path / "gate").touch()
        assert answers == ["one"] * 4


def test_fewer_are_left_after_the_requests_of_the_others(tmp_path: Path) -> None:
    with site(tmp_path, text(environment='ABRUPT: "1"')) as gateway:
        first, second = pids(gateway)
        with slow(gateway, 4) as answers:
            gateway.write(text(count=1, environment='ABRUPT: "1"'))
            assert gateway.run("reload").returncode == 0
            wait_until(lambda: "draining" in _states(gateway), "it was not taken out")
            assert gateway.get("/pid") == str(first) and not answers
            (tmp_path / "gate").touch()
        assert answers == ["one"] * 4
        wait_gone(second)
        assert wait_ready(gateway, 1) == [first]


def test_a_stop_ends_them_after_their_requests(tmp_path: Path) -> None:
    with site(tmp_path, text(environment='ABRUPT: "1"').replace("5s", "25s")) as gateway:
        before = pids(gateway)
        with slow(gateway, 4) as answers:
            gateway.process.send_signal(signal.SIGTERM)
            wait_until(lambda: _refuses(gateway), "it goes on accepting")
            assert not answers
            (tmp_path / "gate").touch()
        assert answers == ["one"] * 4
        assert gateway.wait() == 0
        for pid in before:
            wait_gone(pid)


def test_one_process_alone_is_replaced_under_load_and_loses_nothing(tmp_path: Path) -> None:
    with site(tmp_path, text(count=1, environment='SLOW_START: "1", ABRUPT: "1"')) as gateway:
        with load(gateway) as seen:
            for _ in range(2):
                before = pids(gateway)
                restarted = gateway.run("restart", "app")
                assert (restarted.returncode, restarted.stderr) == (0, "")
                assert wait_ready(gateway, 1) != before
        assert seen.failures == [] and seen.answers == {"one"}


def test_what_has_no_processes_is_told_so(tmp_path: Path) -> None:
    with site(tmp_path, text(count=1)) as gateway:
        refused = gateway.run("restart", "ap")
        assert refused.returncode == 3
        assert "backend ap: it has no processes; backends that have some: app" in refused.stderr


def _states(gateway: Supervised) -> set[str]:
    return {each["state"] for each in told(gateway)["processes"]}


def _in_flight(gateway: Supervised) -> int:
    run = gateway.run("status", "--json")
    [backend] = json.loads(run.stdout)["node"]["backends"]
    return int(backend["in_flight"])


def _refuses(gateway: Supervised) -> bool:
    try:
        socket.create_connection(("127.0.0.1", gateway.port), DEADLINE).close()
    except ConnectionError:
        return True
    return False


@contextlib.contextmanager
def slow(gateway: Supervised, count: int) -> Iterator[list[str]]:
    """Requests that are under way at processes, which answer once there is a file `gate`; their answers."""
    answers: list[str] = []
    threads = [threading.Thread(target=lambda: answers.append(gateway.get("/slow"))) for _ in range(count)]
    for thread in threads:
        thread.start()
    wait_until(lambda: _in_flight(gateway) == count, "they did not get there")
    yield answers
    for thread in threads:
        thread.join(DEADLINE)
