# SPDX-License-Identifier: Apache-2.0
"""Reloads that come while another is under way, and one that is under way when its control goes."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.integration.supervised import DEADLINE, Supervised, supervised, wait_gone
from tests.integration.upgrade.packages import NEW, PATIENCE, finished, upgraded
from tests.ports import free_port
from tidegate.protocol import Channel
from tidegate.testing import wait_until

OBJECT = """
import os, time
from pathlib import Path
from tidegate import Gateway, Listener, Route

with open("imports", "a") as imports:
    print(os.getpid(), file=imports)
while Path("hold").exists():
    time.sleep(0.02)
gateway = Gateway(
    listeners={"web": Listener(address="127.0.0.1", port=PORT)}, routes=[Route(to={"respond": "TEXT"})]
)
"""
ASKED = 20


class Held:
    """A gateway whose import waits as long as there is a file."""

    def __init__(self, folder: Path, gateway: Supervised) -> None:
        self.gateway = gateway
        self.hold = folder / "hold"
        self._imports = folder / "imports"

    def imports(self) -> list[int]:
        """The process of each import so far."""
        return [int(line) for line in self._imports.read_text().splitlines()]

    def hold_one(self) -> int:
        """Begins a reload that does not end; returns the process that imports."""
        before = len(self.imports())
        self.hold.touch()
        self.gateway.process.send_signal(signal.SIGHUP)
        assert wait_until(lambda: len(self.imports()) > before, DEADLINE), self.gateway.log()
        return self.imports()[-1]


@contextmanager
def held(folder: Path) -> Iterator[Held]:
    port = free_port()
    (folder / "shop.py").write_text(OBJECT.replace("PORT", str(port)))
    with supervised(folder, "", command=["run", "shop:gateway"], port=port) as gateway:
        yield Held(folder, gateway)


def test_reloads_that_come_while_one_is_under_way_are_one(tmp_path: Path) -> None:
    with held(tmp_path) as site:
        gateway = site.gateway
        site.hold_one()
        code = tmp_path / "shop.py"
        code.write_text(code.read_text().replace("TEXT", "another"))
        path = tmp_path / "run" / "t" / "control.sock"
        with ExitStack() as stack:
            channels = [stack.enter_context(Channel.to(path)) for _ in range(ASKED)]
            for channel in channels:
                channel.send({"id": 1, "type": "reload"})
                gateway.process.send_signal(signal.SIGHUP)
            # Control answers meanwhile, and has read what was sent before.
            assert gateway.run("status").returncode == 0
            site.hold.unlink()
            replies = [channel.receive(DEADLINE) for channel in channels]
        assert all(reply["ok"] for reply in replies), replies
        assert gateway.get() == "another"
        # The start, the one under way and the one after it; two more if some came late.
        assert 3 <= len(site.imports()) <= 5
        assert gateway.stop() == 0


def test_mistakes_are_told_to_all_who_share_a_reload(tmp_path: Path) -> None:
    with held(tmp_path) as site:
        site.hold_one()
        (tmp_path / "shop.py").write_text("1 / 0\n")
        with ExitStack() as stack:
            path = tmp_path / "run" / "t" / "control.sock"
            channels = [stack.enter_context(Channel.to(path)) for _ in range(3)]
            for channel in channels:
                channel.send({"id": 1, "type": "reload"})
            site.hold.unlink()
            replies = [channel.receive(DEADLINE) for channel in channels]
        assert not any(reply["ok"] for reply in replies)
        assert all("ZeroDivisionError" in reply["problems"][0]["message"] for reply in replies)
        assert site.gateway.get() == "TEXT"


def test_control_goes_at_once_with_its_supervisor_whatever_is_imported(tmp_path: Path) -> None:
    with held(tmp_path) as site:
        gateway, control = site.gateway, site.gateway.pid("control")
        importing = site.hold_one()
        gateway.process.kill()
        gateway.wait()
        # An import may take 60 s.
        wait_gone(control)
        wait_gone(importing)
        assert gateway.get() == "TEXT"
        assert "configuration refused" not in gateway.log()
        site.hold.unlink()
        gateway.again()
        gateway.wait_ready()
        assert gateway.get() == "TEXT"
        assert gateway.stop() == 0


SLOW = """
listeners: { web: { address: 127.0.0.1, port: PORT } }
functions: { slow: { handler: "slow:answer" } }
routes: [{ path: /, to: { function: slow } }]
"""
CODE = """
import os, time
from pathlib import Path

with open("begun", "a") as begun:
    print(os.getpid(), file=begun)
while Path("hold").exists():
    time.sleep(0.02)

def answer(request):
    return "slow"
"""


@pytest.mark.parametrize("is_upgraded", [True, False])
def test_a_reload_is_answered_by_the_control_that_comes_next(tmp_path: Path, is_upgraded: bool) -> None:
    plain = SLOW.replace("{ function: slow }", "{ respond: plain }").replace("functions", "policies")
    with upgraded(tmp_path, plain.replace('{ slow: { handler: "slow:answer" } }', "{}")) as gateway:
        (tmp_path / "slow.py").write_text(CODE)
        (tmp_path / "hold").touch()
        gateway.write(SLOW)
        reload = subprocess.Popen(
            [gateway._python, "-m", "tidegate", "reload"],
            env=gateway._environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert wait_until((tmp_path / "begun").exists, DEADLINE), gateway.log()
        control = gateway.pid("control")
        if is_upgraded:
            gateway.packages.install(NEW)
            command = gateway.begin_upgrade()
            gateway.wait_event("replacing the node")
        else:
            os.kill(control, signal.SIGKILL)
        wait_gone(control)
        (tmp_path / "hold").unlink()
        said, wrong = reload.communicate(timeout=PATIENCE)
        assert (reload.returncode, wrong) == (0, ""), gateway.log()
        assert "snapshot" in said
        assert gateway.get() == "slow"
        if is_upgraded:
            assert finished(command)["state"] == "done"
        assert "configuration refused" not in gateway.log()
        assert gateway.stop() == 0
        # Those too that were tried for a supervisor that is another program now.
        for pid in (tmp_path / "begun").read_text().split():
            wait_gone(int(pid))
