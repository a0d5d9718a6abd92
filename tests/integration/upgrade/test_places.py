# SPDX-License-Identifier: Apache-2.0
"""Upgrades with function workers, with health that was learnt, under root, and as process 1."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.integration.bad_days.load import Bench, Load
from tests.integration.supervised import DEADLINE, wait_gone
from tests.integration.test_supervisor_places import (
    can_unshare,
    children_of,
    copied_packages,
    is_readable_by_all,
    status_of,
)
from tidegate.testing import Reply, Wire, endpoint, wait_until

from .packages import NEW, OLD, Upgraded, finished, upgraded

FUNCTION = """
gateway: { threads: 2, graceful_stop: 60s }
listeners: { web: { address: 127.0.0.1, port: PORT } }
functions: { hello: { handler: "hello:hello", workers: 2 } }
routes:
  - { path: /, to: { function: hello } }
"""
CODE = """
import asyncio, os

async def hello(request):
    if request.path == "/slow":
        open("begun", "w").close()
        while not os.path.exists("release"):
            await asyncio.sleep(0.02)
        return str(os.getpid())
    return request.path if request.path != "/pid" else str(os.getpid())
"""
CHECKED = """
gateway: { threads: 1 }
listeners: { web: { address: 127.0.0.1, port: PORT } }
backends:
  shop:
    endpoints: ["GOOD", "BAD"]
    health_check: { type: http, path: /healthz, interval: INTERVAL, unhealthy_after: 1 }
routes: [{ path: /, to: shop }]
"""


def test_new_workers_serve_the_new_node_and_the_old_finish_for_the_old(tmp_path: Path, bench: Bench) -> None:
    (tmp_path / "hello.py").write_text(CODE)
    with upgraded(tmp_path, FUNCTION) as gateway:
        load = Load(bench, gateway.port, 50.0)
        old = {gateway.pid(f"worker:hello:{number}") for number in range(2)}
        answers: list[str] = []
        slow = threading.Thread(target=lambda: answers.append(gateway.get("/slow")))
        slow.start()
        assert wait_until((tmp_path / "begun").exists, DEADLINE)
        gateway.packages.install(NEW)
        command = gateway.begin_upgrade()
        gateway.wait_draining()
        new = {gateway.pid(f"worker:hello:{number}") for number in range(2)}
        assert new.isdisjoint(old)
        for _ in range(10):
            assert int(gateway.get("/pid")) in new
        (tmp_path / "release").touch()
        slow.join(DEADLINE)
        assert int(answers[0]) in old
        assert finished(command)["drained"][0]["cut"] == 0
        for pid in old:
            wait_gone(pid)
        assert {shot.outcome for shot in load.stop()} == {"ok"}, load.report()
        # They are watched and replaced as those before were.
        first = gateway.pid("worker:hello:0")
        os.kill(first, signal.SIGKILL)
        assert wait_until(lambda: gateway.pid("worker:hello:0") != first, DEADLINE)
        gateway.process.kill()
        gateway.wait()
        gateway.again()
        gateway.wait_control()
        assert int(gateway.get("/pid")) in {gateway.pid(f"worker:hello:{number}") for number in range(2)}
        assert gateway.stop() == 0
        assert not list((tmp_path / "run").glob("t/*"))


def test_a_worker_that_dies_while_its_node_drains_is_replaced_for_that_node(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(CODE)
    patient = FUNCTION.replace("workers: 2", "workers: 1, pending: 25s")
    with upgraded(tmp_path, patient) as gateway:
        old = gateway.pid("worker:hello:0")
        with Wire(("127.0.0.1", gateway.port), timeout=DEADLINE) as kept:
            kept.send(b"GET /pid HTTP/1.1\r\nhost: a\r\n\r\n", "GET")
            assert kept.wait_final(1)
            gateway.packages.install(NEW)
            command = gateway.begin_upgrade()
            gateway.wait_draining()
            os.kill(old, signal.SIGKILL)
            gateway.wait_event("function worker ended, starting another")
            kept.send(b"GET /pid HTTP/1.1\r\nhost: a\r\n\r\n", "GET")
            assert kept.wait_final(2)
            first, second = kept.final_responses
            assert (first.status, int(first.body)) == (200, old)
            assert second.status == 200
            # One for the old node alone, which goes with it.
            successor = int(second.body)
            assert successor not in (old, gateway.pid("worker:hello:0"))
        assert finished(command)["drained"][0]["cut"] == 0
        wait_gone(successor)
        assert gateway.stop() == 0
        assert not list((tmp_path / "run").glob("t/*"))


def test_code_that_does_not_load_in_the_new_version_keeps_the_old(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(CODE)
    with upgraded(tmp_path, FUNCTION) as gateway:
        old = gateway.pid("worker:hello:0")
        package = gateway.packages.add("3.0.0")
        (package / "_worker.py").write_text("raise SystemExit(9)\n")
        gateway.packages.install("3.0.0")
        refused = gateway.upgrade()
        assert refused["exit"] != 0
        assert "function hello" in str(refused["problems"])
        gateway.wait_control()
        assert gateway.pid("worker:hello:0") == old
        assert gateway.get("/still") == "/still"
        assert gateway.node()[1] == OLD


def test_a_new_node_knows_what_the_old_ones_checks_have_found(tmp_path: Path) -> None:
    def bad(_request: Any) -> Reply:
        return Reply(status=500)

    with endpoint() as good, endpoint(respond=bad) as other:
        text = CHECKED.replace("GOOD", good.address).replace("BAD", other.address)

        def health(gateway: Upgraded) -> dict[str, str]:
            backend = gateway.status()["node"]["backends"][0]
            return {each["address"]: each["health"] for each in backend["endpoints"]}

        wanted = {good.address: "up", other.address: "down"}
        with upgraded(tmp_path, text.replace("INTERVAL", "200ms")) as gateway:
            assert wait_until(lambda: health(gateway) == wanted, DEADLINE)
            # From here on no check comes in time to find it out anew.
            gateway.write(text.replace("INTERVAL", "1h"))
            assert gateway.run("reload").returncode == 0
            checks = len(other.messages)
            gateway.packages.install(NEW)
            assert gateway.upgrade()["exit"] == 0
            assert gateway.node()[1] == NEW
            assert health(gateway) == wanted
            for _ in range(10):
                gateway.get("/")
            assert [m for m in other.messages[checks:] if m.target != "/healthz"] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_under_root_the_new_processes_have_given_its_rights_up(open_folder: Path, bench: Bench) -> None:
    interpreter = Path(sys._base_executable)  # type: ignore[attr-defined]
    if not is_readable_by_all(interpreter):
        pytest.skip(f"{interpreter} can be run by root only")
    packages = copied_packages(open_folder)
    (open_folder / "hello.py").write_text("def hello(request):\n    return request.path\n")
    with upgraded(open_folder, FUNCTION, "--user", "nobody", packages=packages) as gateway:
        load = Load(bench, gateway.port, 50.0)
        nobody = [str(pwd.getpwnam("nobody").pw_uid)] * 4
        for version in (NEW, OLD):
            gateway.packages.install(version)
            record = gateway.upgrade()
            assert (record["exit"], record["drained"][0]["cut"]) == (0, 0), record
            node, found = gateway.node()
            assert found == version
            for pid in (node, gateway.pid("control")):
                assert status_of(pid, "Uid").split() == nobody
            worker = status_of(gateway.pid("worker:hello:0"), "Uid").split()
            assert set(worker).isdisjoint({"0", nobody[0]})
            door = open_folder / "run" / "t" / "supervisor.sock"
            # Whoever may ask for an upgrade decides what root runs next.
            assert (door.stat().st_uid, door.stat().st_mode & 0o777) == (0, 0o600)
        assert {shot.outcome for shot in load.stop()} == {"ok"}, load.report()
        assert gateway.stop() == 0
        assert not list((open_folder / "run").glob("t/*"))


class First(Upgraded):
    """A gateway that is process 1 of a namespace of its own."""

    def _start(self) -> subprocess.Popen[str]:
        command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
        process = subprocess.Popen(
            [*command, sys.executable, "-m", "tidegate", *self._arguments],
            env=self._environment,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._collect_from(process)
        return process

    @property
    def first(self) -> int:
        """Process 1 of the namespace, as we see it."""
        return children_of(self.process.pid)[0]


def test_as_process_1_it_stays_the_same_process_and_leaves_no_zombie(tmp_path: Path, bench: Bench) -> None:
    if not can_unshare():
        pytest.skip("unshare --pid is not permitted here")
    (tmp_path / "hello.py").write_text(CODE)
    gateway = First(tmp_path, FUNCTION)
    try:
        gateway.wait_ready()
        load = Load(bench, gateway.port, 50.0)
        first = gateway.first
        for version in (NEW, OLD):
            gateway.packages.install(version)
            record = gateway.upgrade()
            assert (record["exit"], record["drained"][0]["cut"]) == (0, 0), record
            assert gateway.node()[1] == version
            assert gateway.first == first
        assert {shot.outcome for shot in load.stop()} == {"ok"}, load.report()

        def zombies() -> list[int]:
            return [pid for pid in children_of(first) if status_of(pid, "State").startswith("Z")]

        assert wait_until(lambda: zombies() == [], DEADLINE)
        children = children_of(first)
        os.kill(first, signal.SIGTERM)
        assert gateway.wait() == 0
        for pid in children:
            wait_gone(pid)
    finally:
        gateway.close()
