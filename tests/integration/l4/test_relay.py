# SPDX-License-Identifier: Apache-2.0
"""What is sent on one side comes out on the other, ends and resets included."""

import hashlib
import socket
import threading

import pytest

from tidegate.testing import gateway

from .kit import (
    TIMEOUT,
    Server,
    between,
    client,
    echo,
    entry,
    named,
    open_connections,
    read_all,
    reset,
    wait_for,
)  # fmt: skip

BULK = 32 << 20


def test_bytes_go_both_ways_and_the_log_tells_of_the_connection() -> None:
    with Server() as server, between(server) as running:
        with client(running) as connection:
            for piece in (b"one", b"two" * 1000, b"3"):
                connection.sendall(piece)
                assert connection.recv(len(piece), socket.MSG_WAITALL) == piece
            connection.shutdown(socket.SHUT_WR)
            assert read_all(connection) == b""
        told = entry(running)
        assert told["protocol"] == "TCP" and told["ended"] == "closed" and "error" not in told
        assert (told["listener"], told["route"], told["backend"]) == ("db", "r", "b")
        assert told["endpoint"] == server.address and told["client"] == "127.0.0.1"
        assert told["bytes_in"] == told["bytes_out"] == 3004
        assert told["connect_ms"] > 0 and told["duration_ms"] >= told["connect_ms"]
        assert not {"method", "path", "host", "status"} & set(told)
        wait_for(lambda: open_connections(running) == 0)


def test_a_server_may_speak_first() -> None:
    with Server(named(b"220 ready\r\n")) as server, between(server) as running, client(running) as connection:
        assert connection.recv(64) == b"220 ready\r\n"


def test_the_end_of_one_side_leaves_the_other_open() -> None:
    """A client that has asked and shut its side gets its answer, which may be long; and so does a server."""

    def answer(connection: socket.socket) -> None:
        asked = read_all(connection)
        connection.sendall(asked * 100_000)

    with Server(answer) as server, between(server) as running, client(running) as connection:
        connection.sendall(b"0123456789")
        connection.shutdown(socket.SHUT_WR)
        assert (
            hashlib.sha256(read_all(connection)).digest() == hashlib.sha256(b"0123456789" * 100_000).digest()
        )
    heard: list[bytes] = []
    done = threading.Event()

    def listen(connection: socket.socket) -> None:
        connection.shutdown(socket.SHUT_WR)
        heard.append(read_all(connection))
        done.set()

    with Server(listen) as server, between(server) as running, client(running) as connection:
        assert connection.recv(1) == b""
        connection.sendall(b"still here")
        connection.shutdown(socket.SHUT_WR)
        assert done.wait(TIMEOUT) and heard == [b"still here"]


def test_a_reset_of_one_side_is_a_reset_of_the_other() -> None:
    seen: list[str] = []
    done = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"hello")
        try:
            read_all(connection)
            seen.append("end")
        except ConnectionResetError:
            seen.append("reset")
        done.set()

    with Server(serve) as server, between(server) as running:
        connection = client(running)
        assert connection.recv(5) == b"hello"
        reset(connection)
        assert done.wait(TIMEOUT) and seen == ["reset"]
        assert entry(running)["ended"] == "client_reset"

    def refuse(connection: socket.socket) -> None:
        connection.recv(1)
        reset(connection)

    with Server(refuse) as server, between(server) as running, client(running) as connection:
        connection.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
        assert entry(running)["ended"] == "endpoint_reset"


def test_bulk_comes_out_as_it_went_in_both_ways_at_once() -> None:
    block = bytes(range(256)) * 4096
    wanted = hashlib.sha256(block * (BULK // len(block))).hexdigest()

    def send(connection: socket.socket) -> None:
        for _ in range(BULK // len(block)):
            connection.sendall(block)
        connection.shutdown(socket.SHUT_WR)

    def serve(connection: socket.socket) -> None:
        sending = threading.Thread(target=send, args=[connection])
        sending.start()
        sums.append(hashlib.sha256(read_all(connection)).hexdigest())
        sending.join(TIMEOUT)
        done.set()

    sums: list[str] = []
    done = threading.Event()
    with Server(serve) as server, between(server) as running, client(running) as connection:
        sending = threading.Thread(target=send, args=[connection])
        sending.start()
        assert hashlib.sha256(read_all(connection)).hexdigest() == wanted
        sending.join(TIMEOUT)
        assert done.wait(TIMEOUT) and sums == [wanted]
        told = entry(running)
        assert told["bytes_in"] == told["bytes_out"] == BULK


def test_who_does_not_read_holds_up_who_sends() -> None:
    """What is on its way is in the buffers of the kernel and one of ours, and not piling up."""
    release = threading.Event()
    heard: list[int] = []
    done = threading.Event()

    def serve(connection: socket.socket) -> None:
        release.wait(TIMEOUT)
        heard.append(len(read_all(connection)))
        done.set()

    with Server(serve) as server, between(server) as running, client(running) as connection:
        connection.setblocking(False)
        sent, tries = 0, 0
        block = bytes(1 << 16)
        # Until nothing more is taken for a while.
        while tries < 50:
            try:
                sent += connection.send(block)
                tries = 0
            except BlockingIOError:
                tries += 1
                threading.Event().wait(0.01)
        assert sent < 64 << 20
        release.set()
        connection.setblocking(True)
        connection.shutdown(socket.SHUT_WR)
        assert done.wait(TIMEOUT) and heard == [sent]


def test_a_silent_connection_ends_after_its_idle_time_and_a_busy_one_does_not() -> None:
    with Server() as server, between(server, route="timeouts: { idle: 1s }") as running:
        with client(running) as silent, client(running) as busy:
            for _ in range(15):
                busy.sendall(b"x")
                assert busy.recv(1) == b"x"
                threading.Event().wait(0.1)
            assert silent.recv(1) == b""
            busy.sendall(b"x")
            assert busy.recv(1) == b"x"
        assert entry(running)["ended"] == "idle"


def test_a_busy_connection_ends_after_its_life() -> None:
    with Server() as server, between(server, route="timeouts: { life: 500ms }") as running:
        with client(running) as connection, pytest.raises((BrokenPipeError, ConnectionResetError, EOFError)):
            while True:
                connection.sendall(b"x")
                if connection.recv(1) == b"":
                    raise EOFError
        assert entry(running)["ended"] == "life"


def test_connections_survive_a_reload_that_removes_their_route_listener_and_backend() -> None:
    rest = "routes:\n  - { path: /, to: { respond: 204 } }\n"
    with Server() as server:
        route = f"  - {{ type: tcp, listeners: db, to: 'tcp://{server.address}' }}\n"
        full = "listeners: { web: { port: 0 }, db: { port: 0, protocol: tcp } }\n" + rest + route
        with gateway(full, threads=1) as running, client(running) as connection:
            connection.sendall(b"a")
            assert connection.recv(1) == b"a"
            running.reload("listeners: { web: { port: 0 } }\n" + rest)
            connection.sendall(b"b")
            assert connection.recv(1) == b"b"


def test_many_connections_at_a_time_are_all_served_and_counted_out() -> None:
    with Server(echo) as server, between(server) as running:
        connections = [client(running) for _ in range(200)]
        for connection in connections:
            connection.sendall(b"x")
        for connection in connections:
            assert connection.recv(1) == b"x"
        assert open_connections(running) == 200
        for connection in connections:
            connection.close()
        wait_for(lambda: open_connections(running) == 0)
        [b] = running.status()["backends"]
        assert b["endpoints"][0]["requests"] == 200
        wait_for(lambda: running.status()["backends"][0]["in_flight"] == 0)
