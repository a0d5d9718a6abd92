# SPDX-License-Identifier: Apache-2.0
"""Ports and output of the users' own servers; their lives are in `tests/integration/processes`."""

import os
import random
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tidegate.supervisor import output
from tidegate.supervisor.binding import Sockets
from tidegate.supervisor.identity import Identity, IdentityError
from tidegate.supervisor.loop import Loop
from tidegate.supervisor.output import LONGEST, Output
from tidegate.supervisor.ports import free_port, is_free
from tidegate.supervisor.provision import Provision


def test_a_port_is_none_that_the_kernel_gives_away() -> None:
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    ports = {free_port((), random.Random(seed)) for seed in range(50)}
    if first > 22_000 or last < 64_000:
        assert not [port for port in ports if first <= port <= last]
    assert len(ports) > 40


def test_a_port_that_is_taken_is_passed_over() -> None:
    first = free_port((), random.Random(7))
    assert free_port({first}, random.Random(7)) != first
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", first))
        listener.listen()
        assert not is_free(first)
        assert free_port((), random.Random(7)) != first
    assert is_free(first)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_nobody_gets_roots_rights_that_were_given_up() -> None:
    def provision(identity: Identity | None) -> Provision:
        crew: Any = None
        return Provision(Sockets(), crew, identity, lambda: None, has_user_option=False)

    main = Identity("nobody", 65534, 65534)
    for root in ("root", "0"):
        with pytest.raises(IdentityError, match="does not run as root"):
            provision(main).worker_identity(root)
    daemon = provision(main).worker_identity("daemon")
    assert daemon is not None and daemon.name == "daemon"
    ordinary = provision(main).worker_identity(None)
    assert ordinary is not None and ordinary.uid not in (0, main.uid)
    # Told to keep them: then users' code does unless it is told otherwise.
    assert provision(None).worker_identity(None) is None


class Reading:
    """An output whose lines are kept, and the end that prints to it."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.lines: list[str] = []
        reader, self.writer = output.make()
        self.output = Output(self.loop, reader, self.lines.append)

    def finish(self) -> list[str]:
        os.close(self.writer)
        self.output.finish()
        self.loop.close()
        return self.lines


def test_lines_are_whole_and_a_last_one_without_an_end_counts() -> None:
    reading = Reading()
    os.write(reading.writer, "one\r\ntwo\n\nüber".encode())
    assert reading.finish() == ["one", "two", "über"]


def test_long_lines_are_several_and_steer_no_terminal() -> None:
    reading = Reading()
    os.write(reading.writer, b"a" * (2 * LONGEST + 3) + b"\n\x1b[2Jred\n\xff\n")
    assert reading.finish() == ["a" * LONGEST, "a" * LONGEST, "aaa", "?[2Jred", "\N{REPLACEMENT CHARACTER}"]


def test_a_reader_that_is_gone_is_no_broken_pipe_and_the_next_one_reads_on() -> None:
    reading = Reading()
    code = "import sys\nfor line in sys.stdin: print('said', line, end='', flush=True)"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=reading.writer, text=True
    )
    assert process.stdin is not None
    inode = reading.output.inode
    reading.output.close()
    os.close(reading.writer)
    process.stdin.write("more\n")
    process.stdin.flush()
    again = output.reopen(process.pid, inode)
    assert again is not None and output.reopen(process.pid, inode + 1) is None
    lines: list[str] = []

    def heard(line: str) -> None:
        lines.append(line)
        reading.loop.stop()

    following = Output(reading.loop, again, heard)
    reading.loop.run()
    process.stdin.close()
    assert process.wait(30) == 0
    following.finish()
    reading.loop.close()
    assert lines == ["said more"]
