# SPDX-License-Identifier: Apache-2.0
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.integration.supervised import DEADLINE, Supervised, supervised, wait_gone
from tests.ports import free_port
from tidegate.testing import endpoint

ONE = """
gateway: { threads: 2, graceful_stop: 5s }
listeners: { web: { address: 127.0.0.1, port: PORT } }
routes: [{ path: /, to: { respond: one } }]
"""
TWO = ONE.replace("one", "two")


def to(address: str) -> str:
    """The configuration that forwards to one address."""
    return ONE.replace("{ respond: one }", f'"http://{address}"')


@contextmanager
def load(gateway: Supervised) -> Iterator[list[str]]:
    """New connections one after the other; yields what became of those that were no good."""
    failures: list[str] = []
    stop = threading.Event()
    served = threading.Event()

    def work() -> None:
        while not stop.is_set():
            try:
                if gateway.get() not in ("one", "two"):
                    failures.append("a wrong answer")
            except OSError as error:
                failures.append(type(error).__name__)
            except Exception as error:
                failures.append(f"cut: {type(error).__name__}")
            served.set()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert served.wait(DEADLINE)
    try:
        yield failures
    finally:
        stop.set()
        for thread in threads:
            thread.join(DEADLINE)


def test_what_a_reload_acknowledged_outlives_everything(tmp_path: Path) -> None:
    """The node died between its acknowledgement and the disk; with control gone, a change was lost."""
    with supervised(tmp_path, ONE) as gateway:
        for number in range(5):
            gateway.write(ONE.replace("one", f"change-{number}"))
            assert gateway.run("reload").returncode == 0
            os.kill(gateway.pid("node"), signal.SIGKILL)
            kept = json.loads((tmp_path / "run" / "t" / "snapshot.json").read_text())
            assert f"change-{number}" in json.dumps(kept)
            gateway.wait_event("node started")
            assert gateway.get() == f"change-{number}"


def test_it_serves_and_stops_clean(tmp_path: Path) -> None:
    with supervised(tmp_path, ONE) as gateway:
        assert gateway.get() == "one"
        node = gateway.pid("node")
        assert gateway.stop() == 0
        wait_gone(node)
        assert not list((tmp_path / "run").glob("t/*"))
        with pytest.raises(ConnectionRefusedError):
            gateway.get()


def test_the_node_uses_no_huge_pages_unless_it_is_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(gateway: Supervised) -> list[bytes]:
        variables = Path(f"/proc/{gateway.pid('node')}/environ").read_bytes().split(b"\0")
        return sorted(variable for variable in variables if variable.startswith(b"MIMALLOC_"))

    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    with supervised(folders[0], ONE) as gateway:
        assert told(gateway) == [b"MIMALLOC_ALLOW_THP=0", b"MIMALLOC_PURGE_DELAY=100"]
        memory = Path(f"/proc/{gateway.pid('node')}/smaps_rollup").read_text()
        assert re.search(r"^AnonHugePages: +0 kB$", memory, re.MULTILINE)
    monkeypatch.setenv("MIMALLOC_ALLOW_THP", "1")
    with supervised(folders[1], ONE) as gateway:
        assert told(gateway) == [b"MIMALLOC_ALLOW_THP=1", b"MIMALLOC_PURGE_DELAY=100"]


def test_a_killed_node_is_replaced_and_no_connection_is_refused(tmp_path: Path) -> None:
    with supervised(tmp_path, ONE) as gateway, load(gateway) as failures:
        for _ in range(5):
            os.kill(gateway.pid("node"), signal.SIGKILL)
            gateway.wait_event("the node ended, starting another")
            gateway.wait_event("node started")
            assert gateway.get() == "one"
    # A request in flight goes with its node; nothing else does.
    assert not [each for each in failures if each == "ConnectionRefusedError"]
    assert len(failures) <= 5 * 4


def test_a_killed_control_is_replaced_without_traffic_noticing(tmp_path: Path) -> None:
    with supervised(tmp_path, ONE) as gateway, load(gateway) as failures:
        for _ in range(3):
            os.kill(gateway.pid("control"), signal.SIGKILL)
            gateway.wait_event("control ended, starting another")
            # The node has what the new control would give it.
            assert "snapshot 1:" in gateway.wait_ready()
        gateway.write(TWO)
        assert gateway.run("reload", "--json").returncode == 0
        assert gateway.get() == "two"
    assert failures == []


def test_a_killed_supervisor_leaves_the_node_to_the_next_one(tmp_path: Path) -> None:
    with supervised(tmp_path, ONE) as gateway:
        with load(gateway) as failures:
            node, control = gateway.pid("node"), gateway.pid("control")
            gateway.process.kill()
            gateway.wait()
            wait_gone(control)
            assert gateway.get() == "one"
            gateway.again()
            assert gateway.wait_event("adopted the running node")["pid"] == node
            gateway.wait_ready()
            assert gateway.pid("node") == node
            gateway.write(TWO)
            assert gateway.run("reload").returncode == 0
            assert gateway.get() == "two"
        assert failures == []
        # The adopted node is watched and replaced like any other, on the same sockets.
        os.kill(node, signal.SIGKILL)
        gateway.wait_event("the node ended, starting another")
        gateway.wait_event("node started")
        assert gateway.get() == "two"
        assert gateway.stop() == 0


def test_an_adopted_node_is_drained_at_the_end(tmp_path: Path) -> None:
    with supervised(tmp_path, ONE) as gateway:
        node = gateway.pid("node")
        gateway.process.kill()
        gateway.wait()
        gateway.again()
        gateway.wait_ready()
        assert gateway.stop() == 0
        wait_gone(node)


def test_a_change_made_while_no_supervisor_ran_is_applied_by_the_next(tmp_path: Path) -> None:
    with supervised(tmp_path, ONE) as gateway:
        gateway.process.kill()
        gateway.wait()
        gateway.write(TWO)
        gateway.again()
        gateway.wait_ready()
        assert gateway.get() == "two"


def test_a_broken_file_does_not_stop_the_next_supervisor_from_adopting(tmp_path: Path) -> None:
    with supervised(tmp_path, ONE) as gateway:
        gateway.process.kill()
        gateway.wait()
        gateway.write("routes: [")
        gateway.again()
        gateway.wait_event("configuration refused; the one before stays in force")
        assert gateway.get() == "one"
        gateway.write(TWO)
        assert gateway.run("reload").returncode == 0
        assert gateway.get() == "two"


def test_a_node_that_dies_without_control_starts_from_its_snapshot(tmp_path: Path) -> None:
    with supervised(tmp_path, ONE) as gateway:
        node, control = gateway.pid("node"), gateway.pid("control")
        os.kill(control, signal.SIGSTOP)
        try:
            os.kill(node, signal.SIGKILL)
            gateway.wait_event("node started")
            assert gateway.get() == "one"
        finally:
            os.kill(control, signal.SIGCONT)


def test_an_instance_runs_once(tmp_path: Path) -> None:
    with supervised(tmp_path, ONE) as gateway:
        second = gateway.run("run", str(gateway.path), "--name", "t")
        assert second.returncode == 1
        assert f"instance 't' is running already (supervisor {gateway.process.pid})" in second.stderr


def test_a_second_instance_gets_address_in_use_instead_of_half_the_traffic(tmp_path: Path) -> None:
    with supervised(tmp_path, ONE) as gateway:
        second = gateway.run("run", str(gateway.path), "--name", "other", "--log-format", "human")
        assert second.returncode == 1
        assert "listeners.web: address in use: stop the program that holds it" in second.stderr
        assert f"{gateway.path}:3" in second.stderr
        assert [gateway.get() for _ in range(20)] == ["one"] * 20


def test_a_mistake_at_the_start_is_told_with_its_place_and_exit_code_3(tmp_path: Path) -> None:
    gateway = Supervised(tmp_path, ONE + "typo: 1\n")
    try:
        assert gateway.wait() == 3
        assert ":5:1: typo: no such setting" in gateway.log()
    finally:
        gateway.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_node_that_waits_for_the_configuration_ends_with_its_supervisor(
    number: signal.Signals, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    text = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.05)\n"
    (tmp_path / "late.py").write_text(text)
    gateway = Supervised(tmp_path, "", command=["run", "late:gateway"])
    try:
        node = waiting_node(gateway.process.pid)
        gateway.process.send_signal(number)
        wait_gone(node)
    finally:
        go.touch()
        gateway.close()


def waiting_node(supervisor: int) -> int:
    """The node that a supervisor has started, though nothing is known of the configuration."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        for child in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split():
            # A child that has just ended, or that is not yet what it is to be, has another text or none.
            with suppress(OSError):
                if b"tidegate._node" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
        time.sleep(0.01)
    raise AssertionError("no node was started")


def test_a_refused_change_leaves_everything_as_it_was(tmp_path: Path) -> None:
    with supervised(tmp_path, ONE) as gateway:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            held = taken.getsockname()[1]
            gateway.write(TWO.replace("web:", f"more: {{ address: 127.0.0.1, port: {held} }}, web:"))
            refused = gateway.run("reload", "--json")
        assert refused.returncode == 3
        problems = json.loads(refused.stdout)["problems"]
        assert len(problems) == 1 and "address in use" in problems[0]["message"]
        assert gateway.get() == "one"
        gateway.write("routes: [}\n")
        human = gateway.run("reload")
        assert human.returncode == 3
        assert f"error: {gateway.path}:1:" in human.stderr
        assert "t goes on with the configuration it had" in human.stderr
        assert gateway.get() == "one"


def test_listeners_come_and_go_with_the_configuration(tmp_path: Path) -> None:
    with supervised(tmp_path, ONE) as gateway:
        more = free_port()
        gateway.write(TWO.replace("web:", f"more: {{ address: 127.0.0.1, port: {more} }}, web:"))
        assert "listener more" in gateway.run("reload").stdout
        assert gateway.get(port=more) == "two"
        gateway.write(ONE)
        assert gateway.run("reload").returncode == 0
        with pytest.raises(ConnectionRefusedError):
            gateway.get(port=more)
        assert gateway.get() == "one"


def test_hangup_reloads_and_the_service_manager_sees_it(tmp_path: Path) -> None:
    with supervised(tmp_path, ONE) as gateway:
        gateway.write(TWO)
        gateway.process.send_signal(signal.SIGHUP)
        assert gateway.notification().startswith("RELOADING=1\nMONOTONIC_USEC=")
        assert "snapshot 2" in gateway.wait_ready()
        assert gateway.get() == "two"
        gateway.write("[")
        gateway.process.send_signal(signal.SIGHUP)
        assert "the last change was refused" in gateway.wait_ready()
        assert gateway.get() == "two"


def test_watch_applies_what_is_saved_whichever_way_editors_save(tmp_path: Path) -> None:
    with supervised(tmp_path, ONE, "--watch") as gateway:
        gateway.wait_event("configuration applied")
        gateway.write(TWO)
        gateway.wait_event("configuration applied")
        assert gateway.get() == "two"
        # Written in place this time.
        gateway.path.write_text("nonsense")
        gateway.wait_event("configuration refused")
        gateway.write(ONE)
        gateway.wait_event("configuration applied")
        assert gateway.get() == "one"


def test_a_request_in_flight_is_finished_before_the_end(tmp_path: Path) -> None:
    with endpoint(delay=1.0) as upstream, supervised(tmp_path, to(upstream.address)) as gateway:
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=DEADLINE) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            upstream.wait_for(1)
            gateway.process.send_signal(signal.SIGTERM)
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
        assert gateway.wait() == 0


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with (
            supervised(tmp_path, to(address).replace("5s", "60s")) as gateway,
            socket.create_connection(("127.0.0.1", gateway.port), timeout=DEADLINE) as client,
        ):
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            silent.settimeout(DEADLINE)
            with silent.accept()[0]:
                gateway.process.send_signal(signal.SIGTERM)
                gateway.wait_event("draining")
                gateway.process.send_signal(signal.SIGTERM)
                gateway.wait_event("stopping at once")
                gateway.wait()


def request_until_logged(gateway: Supervised, path: str, log: Path) -> None:
    """The log is written beside the traffic: the line is there soon, not at once."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        gateway.get(path)
        if log.exists() and path in log.read_text():
            return
    pytest.fail(f"{path} never got into {log}")


def test_logs_are_reopened_on_a_signal(tmp_path: Path) -> None:
    log = tmp_path / "access.jsonl"
    text = ONE.replace("threads: 2", f'threads: 2, access_log: "{log}"')
    with supervised(tmp_path, text) as gateway:
        request_until_logged(gateway, "/before", log)
        log.rename(tmp_path / "old.jsonl")
        gateway.process.send_signal(signal.SIGUSR1)
        request_until_logged(gateway, "/after", log)
        gateway.stop()
    assert "/before" in (tmp_path / "old.jsonl").read_text()


def test_a_log_that_can_not_be_opened_is_told_in_the_form_of_the_other_processes(tmp_path: Path) -> None:
    text = ONE.replace("threads: 2", f'threads: 2, access_log: "{tmp_path}/none/access.jsonl"')
    with supervised(tmp_path, text) as gateway:
        event = gateway.wait_event("access log")
        assert "none/access.jsonl can not be opened: No such file" in event["message"]
        assert (event["process"], event["level"], event["time"][-1]) == ("node", "warning", "Z")
        assert gateway.get("/") == "one"
        gateway.stop()
    with supervised(tmp_path, text, "--log-format", "human") as gateway:
        line = gateway.wait_event("access log")["message"]
        assert re.match(r"\d\d:\d\d:\d\d node: warning: access log: ", line)
        gateway.stop()


def test_a_unix_socket_listener_serves_and_is_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    text = ONE.replace("{ address: 127.0.0.1, port: PORT }", f'{{ address: "unix:{path}" }}')
    with supervised(tmp_path, text) as gateway:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE)
            client.connect(str(path))
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert client.recv(4096).endswith(b"one")
        gateway.stop()
        assert not path.exists()


def test_another_number_of_threads_needs_a_restart_and_says_so(tmp_path: Path) -> None:
    with supervised(tmp_path, ONE) as gateway:
        gateway.write(TWO.replace("threads: 2", "threads: 3"))
        refused = gateway.run("reload")
        assert refused.returncode == 3
        assert "gateway.threads: the node runs with 2 threads" in refused.stderr
        assert gateway.get() == "one"


def test_proxy_runs_without_a_file_and_follows_the_one_it_wrote(tmp_path: Path) -> None:
    port = free_port()
    with endpoint() as upstream:
        gateway = Supervised(
            tmp_path, ONE, port=port, command=["proxy", f"/app={upstream.address}", "--listen", f":{port}"]
        )
        try:
            gateway.wait_ready()
            assert gateway.get("/nowhere") == "404 Not Found\n"
            gateway.get("/app/x")
            assert upstream.wait_for(1)[0].target == "/app/x"
            written = tmp_path / "run" / "t.yaml"
            gateway.wait_event("configuration applied")
            written.write_text(ONE.replace("PORT", str(port)).replace("threads: 2, ", ""))
            gateway.wait_event("configuration applied")
            assert gateway.get("/nowhere") == "one"
            assert gateway.stop() == 0
            assert not written.exists()
        finally:
            gateway.close()
