# SPDX-License-Identifier: Apache-2.0
"""A gateway as process 1, under root, in the hands of Python objects, with function workers."""

import json
import os
import pwd
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

import tidegate
from tests.integration.supervised import DEADLINE, Supervised, supervised, wait_gone
from tests.ports import free_port

ONE = """
gateway: { threads: 1, graceful_stop: 5s }
listeners: { web: { address: 127.0.0.1, port: PORT } }
routes: [{ path: /, to: { respond: one } }]
"""
FUNCTION = """
gateway: { threads: 1 }
listeners: { web: { address: 127.0.0.1, port: PORT } }
functions: { hello: "hello:hello" }
routes: [{ path: /hello, to: { function: hello } }, { path: /, to: { respond: one } }]
"""
OBJECT = """
import os
from tidegate import Gateway, GatewaySettings, Listener, Route

gateway = Gateway(
    gateway=GatewaySettings(threads=1),
    listeners={"web": Listener(address="127.0.0.1", port=PORT)},
    routes=[Route(path="/", to={"respond": "one"})],
)
open("importer", "w").write(str(os.getpid()))
"""


def can_unshare() -> bool:
    if shutil.which("unshare") is None:
        return False
    command = ["unshare", "--pid", "--fork", "--mount-proc", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def is_readable_by_all(path: Path) -> bool:
    return all(each.stat().st_mode & 0o001 for each in path.resolve().parents) and bool(
        path.stat().st_mode & 0o004
    )


def status_of(pid: int, field: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{field}:"))


def children_of(pid: int | None) -> list[int]:
    assert pid is not None
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_as_process_1_all_starts_and_ends_together_and_zombies_are_reaped(tmp_path: Path) -> None:
    if not can_unshare():
        pytest.skip("unshare --pid is not permitted here")
    # A child of process 1 leaves a child of its own behind, which process 1 then has to reap.
    program = tmp_path / "first.py"
    program.write_text(
        "import os, sys\n"
        "if os.fork() == 0:\n"
        "    if os.fork() == 0:\n"
        "        os.read(int(sys.argv[1]), 1)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "os.close(int(sys.argv[1]))\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'tidegate', *sys.argv[2:]])\n"
    )
    read, write = os.pipe()
    os.set_inheritable(read, True)
    gateway = InNamespace(tmp_path, ONE, program, read)
    os.close(read)
    try:
        gateway.wait_ready()
        assert gateway.get() == "one"
        children = gateway.children()
        # Ends the orphan.
        os.close(write)
        gateway.write(ONE.replace("one", "two"))
        assert gateway.reload() == "two"
        assert gateway.zombies() == []
        assert gateway.first is not None
        os.kill(gateway.first, signal.SIGTERM)
        assert gateway.wait() == 0
        for pid in children:
            wait_gone(pid)
    finally:
        gateway.close()


class InNamespace(Supervised):
    """A gateway that is process 1 of a namespace of its own."""

    def __init__(self, folder: Path, text: str, program: Path, descriptor: int) -> None:
        self._program = program
        self._descriptor = descriptor
        super().__init__(folder, text)

    def _start(self) -> "subprocess.Popen[str]":
        command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
        command += [sys.executable, str(self._program), str(self._descriptor), *self._arguments]
        process = subprocess.Popen(
            command,
            env=self._environment,
            cwd=self.folder,
            pass_fds=[self._descriptor],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._collect_from(process)
        return process

    @property
    def first(self) -> int | None:
        """Process 1 of the namespace, as we see it."""
        found = children_of(self.process.pid)
        return found[0] if found else None

    def children(self) -> list[int]:
        """What process 1 started."""
        assert self.first is not None
        return [
            int(pid) for pid in Path(f"/proc/{self.first}/task/{self.first}/children").read_text().split()
        ]

    def zombies(self) -> list[int]:
        """Children of process 1 that have ended and were not reaped."""
        return [pid for pid in self.children() if status_of(pid, "State").startswith("Z")]

    def reload(self) -> str:
        """Has it read its file again by a signal; returns what it then serves."""
        assert self.first is not None
        os.kill(self.first, signal.SIGHUP)
        self.wait_ready()
        return self.get()


def copied_packages(folder: Path) -> Path:
    """A copy of tidegate and what it needs, which every user may read wherever the checkout is."""
    packages = folder / "packages"
    source = Path(tidegate.__path__[0])
    shutil.copytree(source, packages / "tidegate", ignore=shutil.ignore_patterns("__pycache__"))
    wanted, known = ["tidegate"], {"tidegate"}
    while wanted:
        found = distribution(wanted.pop())
        for file in found.files or () if found.name != "tidegate" else ():
            target = packages / file
            if ".." not in file.parts and file.suffix != ".pyc":
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(file.locate()), target)
        needs = (requirement for requirement in found.requires or () if "extra ==" not in requirement)
        names = (re.split(r"[^A-Za-z0-9._-]", requirement)[0] for requirement in needs)
        for name in names:
            if name not in known and is_installed(name):
                known.add(name)
                wanted.append(name)
    for path in (packages, *packages.rglob("*")):
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
    return packages


def is_installed(name: str) -> bool:
    """Whether a package is here: some are needed on other systems only."""
    try:
        return bool(distribution(name))
    except PackageNotFoundError:
        return False


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_started_as_root_it_gives_its_rights_up(open_folder: Path) -> None:
    interpreter = Path(sys._base_executable)  # type: ignore[attr-defined]
    if not is_readable_by_all(interpreter):
        pytest.skip(f"{interpreter} can be read by root only")
    packages = copied_packages(open_folder)
    (open_folder / "hello.py").write_text("import os\ndef hello(request):\n    return str(os.getuid())\n")
    with supervised(open_folder, FUNCTION, "--user", "nobody", packages=packages) as gateway:
        node, control = gateway.pid("node"), gateway.pid("control")
        worker = gateway.pid("worker:hello:0")
        users = {role: status_of(pid, "Uid").split() for role, pid in [("node", node), ("control", control)]}
        account = pwd.getpwnam("nobody")
        nobody = str(account.pw_uid)
        assert users == {"node": [nobody] * 4, "control": [nobody] * 4}
        assert status_of(node, "Groups").split() == [str(account.pw_gid)]
        assert set(status_of(worker, "Uid").split()).isdisjoint({"0", nobody})
        assert status_of(worker, "Groups").split() == []
        assert int(status_of(node, "CapEff"), 16) == 0
        assert (open_folder / "run" / "t" / "state.json").stat().st_uid == 0
        gateway.write(FUNCTION.replace("one", "two"))
        assert gateway.run("reload").returncode == 0
        assert gateway.get() == "two"
        # It has to be able to start again as that user, on the same sockets.
        os.kill(node, signal.SIGKILL)
        gateway.wait_event("node started")
        assert gateway.get() == "two"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_that_gave_its_rights_up_and_root_have_one_authority(
    open_folder: Path,
) -> None:
    if not is_readable_by_all(Path(sys._base_executable)):  # type: ignore[attr-defined]
        pytest.skip("the interpreter can be read by root only")
    secured = ONE.replace("port: PORT", "port: PORT, tls: dev")

    def is_believed(authority: str) -> bool:
        trusting = ssl.create_default_context(cafile=authority)
        with (
            socket.create_connection(("127.0.0.1", gateway.port), timeout=DEADLINE) as plain,
            trusting.wrap_socket(plain, server_hostname="localhost") as client,
        ):
            return client.version() == "TLSv1.3"

    packages = copied_packages(open_folder)
    with supervised(open_folder, secured, "--user", "nobody", packages=packages) as gateway:
        told = json.loads(gateway.run("dev-cert", "--json").stdout)
        assert not told["is_authority_new"] and is_believed(told["authority"])
        added = json.loads(gateway.run("dev-cert", "--json", "shop.test").stdout)
        assert added["is_new"] and added["authority"] == told["authority"]
        kept = open_folder / "state-development"
        assert {path.stat().st_uid for path in [kept, *kept.iterdir()]} == {pwd.getpwnam("nobody").pw_uid}
        assert gateway.run("reload").returncode == 0
        assert is_believed(told["authority"])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_file_that_its_user_cannot_read_is_told_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o700)
    gateway = Supervised(tmp_path / "closed", ONE, "--user", "nobody")
    try:
        assert gateway.wait() == 1
        assert "user 'nobody' cannot read" in gateway.log()
        assert "`--user root` keeps all rights" in gateway.log()
    finally:
        gateway.close()


def test_objects_are_served_and_reloaded_without_importing_them_into_control(tmp_path: Path) -> None:
    port = free_port()
    shop = tmp_path / "shop.py"
    shop.write_text(OBJECT.replace("PORT", str(port)))
    with supervised(tmp_path, "", command=["run", "shop:gateway"], port=port) as gateway:
        assert gateway.get() == "one"
        assert int((tmp_path / "importer").read_text()) != gateway.pid("control")
        shop.write_text(OBJECT.replace("PORT", str(port)).replace('"one"', '"two"'))
        assert gateway.run("reload").returncode == 0
        assert gateway.get() == "two"
        shop.write_text(OBJECT.replace("PORT", str(port)).replace("Route(path", "Route(pth"))
        refused = gateway.run("reload", "--json")
        assert refused.returncode == 3
        problems = json.loads(refused.stdout)["problems"]
        assert "shop.py:8" in problems[0]["where"] and "did you mean" in problems[0]["message"]
        shop.write_text("1 / 0\n")
        refused = gateway.run("reload")
        assert "shop.py:1" in refused.stderr and "ZeroDivisionError" in refused.stderr
        assert gateway.get() == "two"


def test_new_code_takes_over_and_broken_code_does_not(tmp_path: Path) -> None:
    code = tmp_path / "hello.py"
    code.write_text("def hello(request):\n    return 'first'\n")
    with supervised(tmp_path, FUNCTION) as gateway:
        assert gateway.get("/hello") == "first"
        before = gateway.pid("worker:hello:0")
        code.write_text("def hello(request):\n    return 'second'\n")
        assert "code of hello" in gateway.run("reload").stdout
        assert gateway.get("/hello") == "second"
        assert gateway.pid("worker:hello:0") != before
        wait_gone(before)
        code.write_text("raise ValueError('oh')\n")
        refused = gateway.run("reload")
        assert refused.returncode == 3
        assert "function hello" in refused.stderr
        assert gateway.get("/hello") == "second"


def test_a_killed_worker_is_replaced_and_the_next_supervisor_adopts_workers(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text("import os\ndef hello(request):\n    return str(os.getpid())\n")
    with supervised(tmp_path, FUNCTION) as gateway:
        first = int(gateway.get("/hello"))
        os.kill(first, signal.SIGKILL)
        gateway.wait_event("function worker ended, starting another")
        gateway.wait_event("function worker started")
        second = int(gateway.get("/hello"))
        assert second != first
        gateway.process.kill()
        gateway.wait()
        assert int(gateway.get("/hello")) == second
        gateway.again()
        gateway.wait_ready()
        assert int(gateway.get("/hello")) == second == gateway.pid("worker:hello:0")
        os.kill(second, signal.SIGKILL)
        gateway.wait_event("function worker ended, starting another")
        gateway.wait_event("function worker started")
        assert int(gateway.get("/hello")) not in (first, second)
        assert gateway.stop() == 0


def test_when_supervisor_and_node_die_the_next_one_ends_the_workers_they_left(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text("import os\ndef hello(request):\n    return str(os.getpid())\n")
    with supervised(tmp_path, FUNCTION) as gateway:
        left, node = int(gateway.get("/hello")), gateway.pid("node")
        gateway.process.kill()
        gateway.wait()
        os.kill(node, signal.SIGKILL)
        wait_gone(node)
        gateway.again()
        gateway.wait_ready()
        wait_gone(left)
        assert int(gateway.get("/hello")) == gateway.pid("worker:hello:0") != left
        assert gateway.stop() == 0


def test_code_that_does_not_load_at_the_start_costs_its_own_route_only(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text("raise ValueError('oh')\n")
    with supervised(tmp_path, FUNCTION) as gateway:
        assert gateway.get("/") == "one"
        gateway.wait_event("a function cannot serve")
        (tmp_path / "hello.py").write_text("def hello(request):\n    return 'mended'\n")
        assert gateway.run("reload").returncode == 0
        assert gateway.get("/hello") == "mended"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_code_that_the_workers_user_cannot_read_is_told(open_folder: Path) -> None:
    interpreter = Path(sys._base_executable)  # type: ignore[attr-defined]
    if not is_readable_by_all(interpreter):
        pytest.skip(f"{interpreter} can be read by root only")
    packages = copied_packages(open_folder)
    (open_folder / "hello.py").write_text("def hello(request):\n    return 'hi'\n")
    account = pwd.getpwnam("nobody")
    open_folder.chmod(0o750)
    os.chown(open_folder, 0, account.pw_gid)
    gateway = Supervised(open_folder, FUNCTION, "--user", "nobody", packages=packages)
    try:
        assert gateway.wait() == 3
        assert f"cannot read {open_folder}" in gateway.log()
        assert "choose gateway.function_user" in gateway.log()
    finally:
        gateway.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_processes_of_backends_run_as_neither_root_nor_the_node(open_folder: Path) -> None:
    interpreter = Path(sys._base_executable)  # type: ignore[attr-defined]
    if not is_readable_by_all(interpreter):
        pytest.skip(f"{interpreter} can be read by root only")
    text = """
gateway: { threads: 2, graceful_stop: 5s }
listeners: { web: { address: 127.0.0.1, port: PORT } }
backends:
  app: { processes: { command: [sh, -c, "id -u; exec sleep 60 # {port}"] } }
routes: [{ path: /, to: app }]
"""
    gateway = Supervised(open_folder, text, "--user", "nobody", packages=copied_packages(open_folder))
    try:
        gateway.wait_ready()
        while (event := gateway.wait_event("")).get("process") != "backend app":
            pass
        assert int(event["message"]) not in (0, pwd.getpwnam("nobody").pw_uid)
        assert gateway.stop() == 0
    finally:
        gateway.close()
