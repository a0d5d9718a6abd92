# SPDX-License-Identifier: Apache-2.0
"""Processes of a backend: they serve, they come back, they outlive what starts them, and they end."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.integration.processes.site import (
    THREADS,
    load,
    pids,
    printed,
    site,
    status_of,
    text,
    told,
    wait_ready,
    wait_until,
)
from tests.integration.supervised import supervised, wait_gone

SHORT = "timeouts: { pending: 100ms }"


def test_they_serve_and_are_told(tmp_path: Path) -> None:
    with site(tmp_path, text()) as gateway:
        first, second = pids(gateway)
        wait_until(lambda: {gateway.get("/pid") for _ in range(8)} == {str(first), str(second)}, "not both")
        status = json.loads(gateway.run("status", "--json").stdout)
        [backend] = status["node"]["backends"]
        assert [each["source"] for each in backend["endpoints"]] == ["processes"] * 2
        roles = {each["role"]: each["pid"] for each in status["control"]["processes"]}
        assert (roles["process:app:1"], roles["process:app:2"]) == (first, second)
        shown = gateway.run("status").stdout
        assert "PROCESSES OF" in shown and told(gateway)["processes"][0]["address"] in shown
        # What they print, under the backend's name; they run where the file is.
        lines = printed(gateway, "", 2)
        assert {each["message"] for each in lines} == {f"listening in {tmp_path.resolve()}"}
        assert {each["number"] for each in lines} == {1, 2}


def test_a_killed_process_costs_what_it_had_in_hand(tmp_path: Path) -> None:
    with site(tmp_path, text()) as gateway, load(gateway) as seen:
        for _ in range(3):
            victim = pids(gateway)[0]
            os.kill(victim, signal.SIGKILL)
            gateway.wait_event("process ended, starting another")
            assert victim not in wait_ready(gateway, 2)
    assert len(seen.failures) <= 3 * THREADS, seen.failures
    assert seen.answers == {"one"} and seen.count > 100


def test_with_one_process_alone_requests_wait_for_the_next(tmp_path: Path) -> None:
    # A second to start, and longer than the ordinary wait for an endpoint.
    slow = text(count=1, environment='SLOW_START: "1"', settings="wait: 25s", backend=SHORT)
    with site(tmp_path, slow) as gateway, load(gateway) as seen:
        [victim] = pids(gateway)
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: pids(gateway) not in ([], [victim]), "no other came")
        # The ones that come now, and the ones that had begun before it died.
        so_far = seen.count
        wait_until(lambda: seen.count > so_far + THREADS, "requests wait for ever")
    assert seen.failures == [] and seen.answers == {"one"}


def test_nobody_waits_longer_for_a_process_than_is_said(tmp_path: Path) -> None:
    with site(tmp_path, text(count=1, settings="wait: 300ms")) as gateway:
        # No other comes up in its place.
        (tmp_path / "gone").touch()
        os.kill(pids(gateway)[0], signal.SIGKILL)
        wait_until(lambda: status_of(gateway) == 503, "requests wait for ever")
        # Nobody waits anew for what has been away for so long.
        begun = time.monotonic()
        assert [status_of(gateway) for _ in range(10)] == [503] * 10
        assert time.monotonic() - begun < 10 * 0.3


def test_only_so_many_requests_wait_for_a_process(tmp_path: Path) -> None:
    limited = text(
        count=1, environment='SLOW_START: "1"', settings="wait: 25s", backend="limits: { pending: 1 }"
    )
    with site(tmp_path, limited) as gateway, load(gateway) as seen:
        os.kill(pids(gateway)[0], signal.SIGKILL)
        wait_until(lambda: bool(seen.failures), "all of them wait")
        wait_ready(gateway, 1)
    # What the process had in hand when it died may be a 502.
    assert "503 " in {each[:4] for each in seen.failures} <= {"502 ", "503 "}


def test_one_that_never_starts_costs_its_own_routes_only(tmp_path: Path) -> None:
    broken = """
  broken: { processes: { command: [no-such-program, "{port}"], wait: 1ms } }
routes:
  - { path: /broken, to: broken }
  - { path: /, to: app }"""
    whole = text(count=1).replace("\nroutes: [{ path: /, to: app }]", broken)
    with site(tmp_path, whole) as gateway:
        assert gateway.get("/") == "one"
        assert "unavailable" in gateway.get("/broken").lower()
        event = gateway.wait_event("process ended, starting another")
        assert "No such file or directory" in event["how"] and event["backend"] == "broken"


def test_they_outlive_control_and_so_do_restarts(tmp_path: Path) -> None:
    # The node comes to it by itself: after the time of an exclusion, if many noticed that it was gone.
    soon = "passive_health: { exclude_for: 100ms }"
    with site(tmp_path, text(backend=soon)) as gateway, load(gateway) as seen:
        before = pids(gateway)
        control = gateway.pid("control")
        os.kill(control, signal.SIGKILL)
        gateway.wait_ready()
        assert wait_ready(gateway, 2) == before
        assert seen.failures == []
        # Nobody but the supervisor is needed for another one.
        os.kill(gateway.pid("control"), signal.SIGSTOP)
        os.kill(before[0], signal.SIGKILL)
        gateway.wait_event("process started")
        wait_until(lambda: {gateway.get("/pid") for _ in range(8)} > {str(before[1])}, "none came back")
    assert len(seen.failures) <= THREADS


def test_they_outlive_the_supervisor_and_the_next_one_goes_on(tmp_path: Path) -> None:
    with site(tmp_path, text()) as gateway:
        with load(gateway) as seen:
            before = pids(gateway)
            gateway.process.kill()
            gateway.wait()
            gateway.again()
            gateway.wait_ready()
            assert wait_ready(gateway, 2) == before
        assert seen.failures == []
        os.kill(before[1], signal.SIGKILL)
        gateway.wait_event("process ended, starting another")
        after = wait_ready(gateway, 2)
        assert after[0] == before[0] and after[1] != before[1]
        # The adopted one is ended like the other.
        assert gateway.stop() == 0
        for pid in after:
            wait_gone(pid)


def test_what_ended_while_no_supervisor_ran_is_started_by_the_next(tmp_path: Path) -> None:
    with site(tmp_path, text()) as gateway:
        before = pids(gateway)
        gateway.process.kill()
        gateway.wait()
        os.kill(before[0], signal.SIGKILL)
        wait_gone(before[0])
        assert gateway.get() == "one"
        gateway.again()
        gateway.wait_ready()
        assert wait_ready(gateway, 2)[1] == before[1]


def test_an_upgrade_leaves_them_alone(tmp_path: Path) -> None:
    with site(tmp_path, text()) as gateway, load(gateway) as seen:
        before = pids(gateway)
        upgraded = gateway.run("upgrade", "--drain-time", "2s")
        assert upgraded.returncode == 0, upgraded.stderr
        assert wait_ready(gateway, 2) == before
    assert seen.failures == [] and seen.answers == {"one"}


def test_nothing_is_left_after_a_stop(tmp_path: Path) -> None:
    settings = "stop_timeout: 500ms"
    with site(tmp_path, text(environment='CHILD: "1", DEAF: "1"', settings=settings)) as gateway:
        found = pids(gateway)
        children = [int(each["message"].split()[1]) for each in printed(gateway, "child ", 2)]
        assert gateway.stop() == 0
        gateway.wait_event("process killed, it did not end in time")
        for pid in (*found, *children):
            wait_gone(pid)


def test_what_a_dead_process_started_ends_with_it(tmp_path: Path) -> None:
    with site(tmp_path, text(count=1, environment='CHILD: "1"')) as gateway:
        [server] = pids(gateway)
        [event] = printed(gateway, "child ", 1)
        os.kill(server, signal.SIGKILL)
        wait_gone(int(event["message"].split()[1]))
        wait_ready(gateway, 1)


def test_the_port_may_be_in_the_environment_and_programs_in_a_venv(tmp_path: Path) -> None:
    programs = tmp_path / "env" / "bin"
    programs.mkdir(parents=True)
    (tmp_path / "work").mkdir()
    serve = programs / "serve-it"
    server = Path(__file__).with_name("server.py")
    serve.write_text(f'#!/bin/sh\necho "in $VIRTUAL_ENV"\nexec {sys.executable} {server} "$AT"\n')
    serve.chmod(0o755)
    whole = text(count=1, environment='AT: "{port}"', settings="venv: env\n      directory: work")
    whole = whole.replace(f'[python, {server}, "{{port}}"]', "[serve-it]")
    with site(tmp_path, whole) as gateway:
        assert gateway.get() == "one"
        assert printed(gateway, f"in {tmp_path / 'env'}", 1)
        assert printed(gateway, f"listening in {(tmp_path / 'work').resolve()}", 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run as another user")
@pytest.mark.parametrize(("settings", "user"), [("user: nobody", "nobody"), ("", "daemon")])
def test_they_run_as_the_user_that_is_named(tmp_path: Path, settings: str, user: str) -> None:
    whole = text(count=1, settings=settings).replace("threads: 2", "threads: 2, function_user: daemon")
    lines = [
        line if "command:" not in line else '      command: [sh, -c, "id -un; exec sleep 60 # {port}"]'
        for line in whole.splitlines()
    ]
    tmp_path.chmod(0o755)
    # It never serves, but says who it is.
    with supervised(tmp_path, "\n".join(lines)) as gateway:
        assert printed(gateway, "", 1)[0]["message"] == user
