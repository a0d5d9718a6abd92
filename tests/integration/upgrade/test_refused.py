# SPDX-License-Identifier: Apache-2.0
"""What cannot take over does not: the node that runs serves on, and the command says why."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.bad_days.load import Bench, Load, Origin
from tests.integration.supervised import wait_gone

from .packages import NEW, OLD, Upgraded, upgraded

TEXT = """
gateway: { threads: 2, graceful_stop: 30s }
listeners: { web: { address: 127.0.0.1, port: PORT } }
routes: [{ path: /, to: "http://ORIGIN" }, { path: /which, to: { respond: first } }]
"""


def patch(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def no_engine(package: Path) -> None:
    (package / "_engine.abi3.so").unlink()


def no_supervisor(package: Path) -> None:
    patch(package / "supervisor" / "run.py", "def take_over(", "def take_over((")


def another_schema(package: Path) -> None:
    """Control compiles for an engine that is not there."""
    patch(package / "config" / "snapshot.py", "SCHEMA: Final = ", "SCHEMA: Final = 90 + ")


def node_ends(package: Path) -> None:
    patch(
        package / "_node.py",
        "def main() -> int:",
        "def main() -> int:\n    return 7\n\n\ndef other() -> int:",
    )


def node_refuses(package: Path) -> None:
    """Only the delta that control sends is of another schema."""
    line = '    return {"delta": text}\n'
    other = """    return {"delta": text.replace('"schema":', '"schema":9', 1)}\n"""
    patch(package / "control" / "apply.py", line, other)


@pytest.mark.parametrize(
    ("breaks", "says"),
    [
        (no_engine, "_engine"),
        (no_supervisor, "SyntaxError"),
        (another_schema, "schema"),
        (node_ends, "exit code 7"),
        (node_refuses, "schema"),
    ],
    ids=["no engine", "no supervisor", "another schema", "node ends", "node refuses"],
)
def test_a_broken_package_leaves_the_old_node_serving(
    tmp_path: Path, bench: Bench, origin: Origin, breaks: Callable[[Path], None], says: str
) -> None:
    with upgraded(tmp_path, TEXT.replace("ORIGIN", origin.address)) as gateway:
        breaks(gateway.packages.add("3.0.0"))
        load = Load(bench, gateway.port, 100.0)
        before = gateway.node()
        assert before[1] == OLD
        gateway.packages.install("3.0.0")
        refused = gateway.upgrade()
        assert refused["exit"] != 0 and refused["state"] == "failed", refused
        assert says in str(refused["problems"]), refused
        assert gateway.node() == before
        load.wait_more(50)
        # A good one then takes over as if nothing had been.
        gateway.packages.install(NEW)
        assert gateway.upgrade()["exit"] == 0
        assert gateway.node()[1] == NEW
        gateway.write(TEXT.replace("ORIGIN", origin.address).replace("first", "second"))
        assert gateway.run("reload").returncode == 0
        assert gateway.get("/which") == "second"
        wait_gone(before[0])
        assert {shot.outcome for shot in load.stop()} == {"ok"}, load.report()
        assert gateway.stop() == 0
        assert not list((tmp_path / "run").glob("t/*"))


def test_a_configuration_that_the_new_version_refuses_is_told_with_its_place(tmp_path: Path) -> None:
    with upgraded(tmp_path, TEXT.replace("ORIGIN", "127.0.0.1:1")) as gateway:
        before = gateway.node()
        gateway.write(TEXT.replace("threads", "treads"))
        gateway.packages.install(NEW)
        command = gateway.run("upgrade")
        assert command.returncode == 3
        assert "tidegate.yaml:2:" in command.stderr and "did you mean" in command.stderr
        assert "was not upgraded; the node that ran serves on" in command.stderr
        assert gateway.node() == before
        assert gateway.get("/which") == "first"


def test_a_node_that_was_not_replaced_is_reloaded_and_restarted_as_ever(tmp_path: Path) -> None:
    with upgraded(tmp_path, TEXT.replace("ORIGIN", "127.0.0.1:1")) as gateway:
        node_ends(gateway.packages.add("3.0.0"))
        gateway.packages.install("3.0.0")
        assert gateway.upgrade()["exit"] == 1
        gateway.write(TEXT.replace("ORIGIN", "127.0.0.1:1").replace("first", "second"))
        assert gateway.run("reload").returncode == 0
        assert gateway.get("/which") == "second"
        # What is on disk can be started again once it is whole.
        gateway.packages.install(NEW)
        os.kill(gateway.node()[0], signal.SIGKILL)
        gateway.wait_event("the node ended, starting another")
        gateway.wait_event("node started")
        assert gateway.get("/which") == "second"


def test_a_second_upgrade_waits_for_its_turn(tmp_path: Path) -> None:
    with upgraded(tmp_path, TEXT.replace("ORIGIN", "127.0.0.1:1")) as gateway:
        gateway.packages.install(NEW)
        first, second = gateway.begin_upgrade(), gateway.begin_upgrade()
        codes = []
        for command in (first, second):
            _, text = command.communicate(timeout=60)
            codes.append(command.returncode)
            assert command.returncode == 0 or "under way" in text or "somebody else" in text
        assert 0 in codes
        assert gateway.get("/which") == "first"
        assert gateway.node()[1] == NEW


def test_without_an_instance_the_command_says_so(tmp_path: Path) -> None:
    gateway = Upgraded(tmp_path, "routes: [")
    try:
        gateway.wait()
        command = gateway.run("upgrade")
        assert command.returncode == 4 and "no instance is running" in command.stderr
        command = gateway.run("upgrade", "--drain-time", "5")
        assert command.returncode == 2 and "has no unit" in command.stderr
    finally:
        gateway.close()
