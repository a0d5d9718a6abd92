# SPDX-License-Identifier: Apache-2.0
"""Files that change while they are sent, or between two requests."""

import os
import socket
import threading
from pathlib import Path

from tidegate.testing import Wire, gateway
from tidegate.testing.gateways import wait_until

from .site import ask, serving, write

_LARGE = 24 << 20


def _begun(port: int, name: str) -> socket.socket:
    """A client that has asked for a file, read its head and then nothing."""
    client = socket.create_connection(("127.0.0.1", port), timeout=20)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    client.sendall(f"GET /{name} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert client.recv(4096).startswith(b"HTTP/1.1 200")
    return client


def _rest(client: socket.socket) -> tuple[int, bool]:
    """Bytes that still come, and whether the connection was reset."""
    count = 0
    try:
        while data := client.recv(1 << 20):
            count += len(data)
    except ConnectionResetError:
        return count, True
    except TimeoutError:
        return count, False
    return count, False


def test_a_file_that_is_cut_short_while_it_is_sent_cuts_the_connection(tmp_path: Path) -> None:
    file = write(tmp_path / "f", b"x" * _LARGE)
    with serving(tmp_path) as running:
        with _begun(running.port, "f") as client:
            os.truncate(file, 1000)
            count, is_reset = _rest(client)
        assert is_reset and count < _LARGE
        entry = running.log(1)[-1]
        assert (entry["error"], entry["status"]) == ("proxy_internal_error", 200)


def test_a_file_that_is_overwritten_while_it_is_sent_never_passes_for_whole(tmp_path: Path) -> None:
    file = write(tmp_path / "f", b"x" * _LARGE)
    with serving(tmp_path) as running, _begun(running.port, "f") as client:
        with file.open("r+b") as stream:
            stream.seek(_LARGE - 10)
            stream.write(b"y" * 10)
        count, is_reset = _rest(client)
        assert is_reset and count < _LARGE


def test_a_file_that_is_replaced_while_it_is_sent_arrives_as_it_was(tmp_path: Path) -> None:
    write(tmp_path / "f", b"x" * _LARGE)
    with serving(tmp_path) as running:
        with Wire(("127.0.0.1", running.port)) as wire:
            wire.send(b"GET /f HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "GET")
            assert wire.wait_bytes(b"\r\n\r\n")
            os.replace(write(tmp_path / "new", b"y" * 5), tmp_path / "f")
            assert wire.wait_final(1)
            assert wire.final_responses[0].body == b"x" * _LARGE
        assert ask(running, "/f").body == b"yyyyy"


def test_what_was_found_is_believed_for_its_time_and_no_longer(tmp_path: Path) -> None:
    write(tmp_path / "small", "one")
    write(tmp_path / "large", b"1" * 100_000)
    with serving(tmp_path, "cache: { validity: 1h }") as running:
        before = [ask(running, f"/{name}").raw for name in ("small", "large", "none")]
        os.replace(write(tmp_path / "new", "two"), tmp_path / "small")
        os.replace(write(tmp_path / "new", b"2" * 100_000), tmp_path / "large")
        write(tmp_path / "none", "there now")
        bodies = [ask(running, f"/{name}").body for name in ("small", "large", "none")]
        assert [raw.partition(b"\r\n\r\n")[2] for raw in before] == bodies
    with serving(tmp_path, "cache: { validity: 50ms }") as running:
        assert ask(running, "/small").body == b"two"
        os.replace(write(tmp_path / "new", "three"), tmp_path / "small")
        assert wait_until(lambda: ask(running, "/small").body == b"three", 20)
        (tmp_path / "small").unlink()
        assert wait_until(lambda: ask(running, "/small").status == 404, 20)


def _held(running_pid: int, folder: Path) -> int:
    links = Path(f"/proc/{running_pid}/fd").iterdir()
    found = 0
    for link in links:
        try:
            found += os.readlink(link).startswith(str(folder))
        except OSError:
            continue
    return found


def test_large_files_are_kept_open_and_let_go(tmp_path: Path) -> None:
    for number in range(30):
        write(tmp_path / f"f{number}", b"x" * 100)
    settings = "cache: { validity: 1h, file_size: 10B, entries: 10 }"
    with serving(tmp_path, settings) as running:
        pid = running.status()["pid"]
        for number in range(30):
            assert ask(running, f"/f{number}").status == 200
        assert 1 <= _held(pid, tmp_path) <= 10
        # What nobody asks for is let go after some seconds, and a deleted file with it.
        assert wait_until(lambda: _held(pid, tmp_path) == 0, 60)
        running.reload("{listeners: {web: {port: 0}}, routes: [{path: /, to: {respond: 204}}]}")
    with serving(tmp_path, "cache: { validity: 1h, file_size: 10KiB }") as running:
        assert ask(running, "/f1").status == 200
        assert _held(running.status()["pid"], tmp_path) == 0


def test_memory_for_files_is_bounded(tmp_path: Path) -> None:
    for number in range(40):
        write(tmp_path / f"f{number}", os.urandom(50_000))
    settings = "cache: { validity: 1h, memory: 200KiB, file_size: 64KiB }"
    with serving(tmp_path, settings) as running:
        for number in [*range(40), *range(40)]:
            assert ask(running, f"/f{number}").body == (tmp_path / f"f{number}").read_bytes()
        # Of 40 files only a few can have stayed: the others are read again, and found changed.
        for number in range(40):
            write(tmp_path / f"f{number}", b"new")
        bodies = [ask(running, f"/f{number}").body for number in range(40)]
        assert bodies.count(b"new") >= 36


def test_a_client_that_stops_reading_is_given_up(tmp_path: Path) -> None:
    write(tmp_path / "f", b"x" * _LARGE)
    text = f"""
listeners: {{ web: {{ port: 0, timeouts: {{ send_stall: 300ms }} }} }}
routes: [{{ path: /, to: {{ files: "{tmp_path}" }} }}]
"""
    with gateway(text, threads=1) as running, _begun(running.port, "f"):
        assert running.log(1, timeout=30)[-1]["error"] == "client_gone"


def test_many_large_files_go_side_by_side(tmp_path: Path) -> None:
    content = os.urandom(4 << 20)
    write(tmp_path / "f", content)
    wrong: list[str] = []

    def fetch() -> None:
        if ask(running, "/f").body != content:
            wrong.append("another body")

    with serving(tmp_path) as running:
        threads = [threading.Thread(target=fetch) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong
