# SPDX-License-Identifier: Apache-2.0
import json
import os
import select
import signal
import socket
from pathlib import Path

import pytest

from tidegate.supervisor import state
from tidegate.supervisor.identity import IdentityError, for_workers, resolve
from tidegate.supervisor.notify import Notifier
from tidegate.supervisor.processes import Backoff, Process, Spec, adopt, describe, start, start_time_of
from tidegate.supervisor.run import configured_user


def ended(process: Process) -> str:
    ready, _, _ = select.select([process.pidfd], [], [], 10)
    assert ready, "the process did not end"
    return process.reap()


def script(folder: Path, text: str) -> Path:
    path = folder / "program.py"
    path.write_text(text)
    return path


def test_a_child_gets_its_descriptors_and_environment_and_none_of_ours(tmp_path: Path) -> None:
    program = script(
        tmp_path,
        "import os\n"
        "own = [int(each) for each in os.listdir('/proc/self/fd')]\n"
        "os.write(20, (os.environ['WORD'] + str(own)).encode())\n",
    )
    read, write = os.pipe()
    process = start(Spec("test", script=program, environment={"WORD": "hi"}, descriptors={20: write}))
    os.close(write)
    with open(read) as answers:
        said = answers.read()
    assert ended(process) == "exit code 0"
    assert said.startswith("hi[")
    numbers = json.loads(said.removeprefix("hi"))
    assert {0, 1, 2, 20} <= set(numbers)
    assert not {read, write} & set(numbers)


def test_a_module_in_the_current_folder_is_not_taken_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(99)")
    monkeypatch.chdir(tmp_path)
    program = script(tmp_path / "..", "import json\n")
    assert ended(start(Spec("test", script=program))) == "exit code 0"


def test_a_program_that_cannot_be_started_says_why() -> None:
    with pytest.raises(FileNotFoundError, match="execute"):
        start(Spec("test", script=Path("x"), interpreter="/nowhere/python"))


def test_a_death_by_signal_has_the_signals_name(tmp_path: Path) -> None:
    process = start(Spec("test", script=script(tmp_path, "import signal; signal.pause()")))
    process.signal(signal.SIGKILL)
    assert ended(process) == "killed by SIGKILL"
    assert describe(3 << 8) == "exit code 3"


def test_a_process_is_adopted_only_if_it_is_the_same(tmp_path: Path) -> None:
    process = start(Spec("test", script=script(tmp_path, "import signal; signal.pause()")))
    right = start_time_of(process.pid)
    assert right is not None
    assert adopt("test", process.pid, right + 1) is None
    adopted = adopt("test", process.pid, right)
    assert adopted is not None
    adopted.signal(signal.SIGKILL)
    assert select.select([adopted.pidfd], [], [], 10)[0]
    os.close(adopted.pidfd)
    ended(process)
    assert adopt("test", process.pid, right) is None


def test_a_process_is_replaced_at_once_unless_it_keeps_dying() -> None:
    backoff = Backoff(grace=1, first=0.1, longest=0.4)
    assert [backoff.ended(0.5) for _ in range(6)] == [0, 0.1, 0.2, 0.4, 0.4, 0.4]
    assert backoff.ended(1) == 0
    assert backoff.ended(0.5) == 0


def test_state_is_believed_only_from_this_boot_and_this_user(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    state.write(path, {"supervisor": 1})
    assert path.stat().st_mode & 0o777 == 0o600
    assert state.read(path)["supervisor"] == 1
    path.write_text(path.read_text().replace(state.boot_identifier(), "another"))
    assert state.read(path) == {}
    path.write_text("{")
    assert state.read(path) == {}
    path.unlink()
    assert state.read(path) == {}
    path.symlink_to("/etc/hostname")
    assert state.read(path) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_state_of_another_user_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    state.write(path, {"supervisor": 1})
    os.chown(path, 65534, 65534)
    assert state.read(path) == {}


def test_the_service_manager_is_told_and_the_variable_is_not_inherited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(30)
        manager.bind(str(tmp_path / "n"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "n"))
        notifier = Notifier()
        assert "NOTIFY_SOCKET" not in os.environ
        notifier.reloading()
        notifier.ready("snapshot 1")
        notifier.reloading()
        notifier.stopping()
        assert manager.recv(1000) == b"READY=1\nSTATUS=snapshot 1"
        assert manager.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert manager.recv(1000).startswith(b"STOPPING=1\n")


def test_a_service_manager_in_the_abstract_namespace_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(30)
        manager.bind(f"\0tidegate-test-{os.getpid()}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@tidegate-test-{os.getpid()}")
        Notifier().ready("x")
        assert manager.recv(1000).startswith(b"READY=1")


def test_without_a_service_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    Notifier().ready("x")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/at/all")
    Notifier().ready("x")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_gives_its_rights_up_and_workers_are_somebody_else() -> None:
    main = resolve(None)
    assert main is not None and main.uid != 0
    workers = for_workers(main)
    assert workers is not None and workers.uid not in (0, main.uid)
    assert resolve("root") is None
    with pytest.raises(IdentityError, match="there is no user 'no-such-user'"):
        resolve("no-such-user")


def test_who_is_not_root_stays_who_they_are() -> None:
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    try:
        assert resolve(None) is None
        assert for_workers(None) is None
        with pytest.raises(IdentityError, match="only root"):
            resolve("daemon")
    finally:
        os.seteuid(was)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_user_is_read_from_the_file_before_control_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("gateway: { threads: 2, user: daemon }\n")
    assert configured_user([str(path)]) == "daemon"
    path.write_text("gateway: [broken\n")
    assert configured_user([str(path)]) is None
    path.write_text("[" * 5000)
    assert configured_user([str(path)]) is None
    assert configured_user(["shop:gateway"]) is None
