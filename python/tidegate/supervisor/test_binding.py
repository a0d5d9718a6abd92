# SPDX-License-Identifier: Apache-2.0
import errno
import os
import select
import socket
import stat
from pathlib import Path

import pytest

from tidegate.protocol import Address
from tidegate.supervisor.binding import WAITING, BindError, BindFailures, Sockets, bind, ensure, explain


def free_port() -> int:
    """One that is taken at no address, of IPv6 or of IPv4."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as probe:
        return int(probe.getsockname()[1])


def tcp(address: str, port: int) -> Address:
    return {"key": f"tcp:{address}:{port}", "address": address, "port": port}


def close(sockets: list[socket.socket]) -> None:
    for opened in sockets:
        opened.close()


def test_each_thread_gets_a_socket_and_its_share_of_connections() -> None:
    sockets = bind(tcp("127.0.0.1", 0), 4)
    port = sockets[0].getsockname()[1]
    assert [opened.getsockname()[1] for opened in sockets] == [port] * 4
    taken = set()
    clients = []
    # With four sockets and 400 connections, an empty one has a chance of 4 * 0.75 ** 400.
    for _ in range(400):
        clients.append(socket.create_connection(("127.0.0.1", port)))
        ready, _, _ = select.select(sockets, [], [], 5)
        for opened in ready:
            taken.add(opened)
            clients.append(opened.accept()[0])
    close(clients)
    close(sockets)
    assert len(taken) == 4


def test_all_addresses_are_both_of_ipv6_and_ipv4() -> None:
    sockets = bind(tcp("::", 0), 1)
    port = sockets[0].getsockname()[1]
    socket.create_connection(("127.0.0.1", port)).close()
    socket.create_connection(("::1", port)).close()
    close(sockets)


def test_one_ipv6_address_is_no_ipv4() -> None:
    with socket.socket() as held:
        # Nobody else listens there meanwhile, nor does this one.
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        sockets = bind(tcp("::1", port), 1)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        close(sockets)


@pytest.mark.parametrize("address", ["127.0.0.1", "::"])
def test_an_address_held_by_another_gateway_is_in_use_though_it_would_be_shared(address: str) -> None:
    held = bind(tcp(address, 0), 2)
    port = held[0].getsockname()[1]
    with pytest.raises(BindError, match="address in use: stop the program") as caught:
        bind(tcp(address, port), 2)
    assert caught.value.where == (f"[::]:{port}" if address == "::" else f"127.0.0.1:{port}")
    close(held)


def test_an_address_is_free_again_as_soon_as_it_was_closed() -> None:
    held = bind(tcp("127.0.0.1", 0), 1)
    port = held[0].getsockname()[1]
    client = socket.create_connection(("127.0.0.1", port))
    server, _ = held[0].accept()
    # Who closes first keeps the address in TIME_WAIT.
    server.close()
    client.close()
    close(held)
    close(bind(tcp("127.0.0.1", port), 1))


def test_a_unix_socket_is_shared_by_the_threads_and_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    sockets = bind({"key": f"unix:{path}", "path": str(path)}, 2)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        sockets[1].accept()[0].close()
    close(sockets)


def test_a_unix_socket_in_use_is_refused_and_left_alone(tmp_path: Path) -> None:
    address: Address = {"key": "unix:x", "path": str(tmp_path / "web.sock")}
    held = bind(address, 1)
    with pytest.raises(BindError, match="a program answers on this socket"):
        bind(address, 1)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(address["path"])
    close(held)


def test_a_unix_socket_left_by_a_dead_program_is_replaced(tmp_path: Path) -> None:
    address: Address = {"key": "unix:x", "path": str(tmp_path / "web.sock")}
    close(bind(address, 1))
    close(bind(address, 1))


def test_binding_is_all_or_nothing(tmp_path: Path) -> None:
    held = bind(tcp("127.0.0.1", 0), 1)
    taken = held[0].getsockname()[1]
    port = free_port()
    sockets = Sockets()
    wanted: list[Address] = [
        tcp("127.0.0.1", port),
        tcp("127.0.0.1", taken),
        {"key": "unix:y", "path": str(tmp_path / "no" / "s")},
    ]
    with pytest.raises(BindFailures) as caught:
        ensure(sockets, wanted, 2)
    assert [problem["where"] for problem in caught.value.problems()] == [
        f"127.0.0.1:{taken}",
        str(tmp_path / "no" / "s"),
    ]
    assert sockets.names() == []
    close(bind(tcp("127.0.0.1", port), 1))
    close(held)


def test_what_is_held_is_not_bound_again() -> None:
    sockets = Sockets()
    address = tcp("127.0.0.1", free_port())
    assert ensure(sockets, [address], 2) == [address["key"]]
    before = sockets.pairs()
    assert ensure(sockets, [address], 2) == []
    assert sockets.pairs() == before and len(before) == 2
    sockets.close()


@pytest.mark.parametrize(
    ("number", "address", "says"),
    [
        (errno.EADDRINUSE, {"key": "", "address": "::", "port": 80}, "ss -ltnp 'sport = :80'"),
        (errno.EACCES, {"key": "", "address": "::", "port": 80}, "ip_unprivileged_port_start=80"),
        (errno.EADDRNOTAVAIL, {"key": "", "address": "192.0.2.1", "port": 80}, "does not have that address"),
        (errno.EMFILE, {"key": "", "address": "::", "port": 80}, "ulimit -n"),
        (errno.ENOENT, {"key": "", "path": "/a/b"}, "the directory /a does not exist"),
    ],
)
def test_a_failure_says_what_to_do(number: int, address: Address, says: str) -> None:
    assert says in explain(OSError(number, "x"), address)


def test_one_address_may_replace_all_addresses_on_the_same_port() -> None:
    sockets = Sockets()
    port = free_port()
    everything = tcp("::", port)
    ensure(sockets, [everything], 2)
    ensure(sockets, [tcp("127.0.0.1", port)], 2)
    sockets.drop(everything["key"])
    socket.create_connection(("127.0.0.1", port)).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("::1", port))
    sockets.close()


def udp(address: str, port: int) -> Address:
    return {"key": f"udp:{address}:{port}", "address": address, "port": port, "transport": "udp"}


def test_each_thread_gets_its_share_of_datagrams_by_who_sends_them() -> None:
    sockets = bind(udp("127.0.0.1", 0), 4)
    port = sockets[0].getsockname()[1]
    clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(100)]
    for round_trip in range(2):
        for client in clients:
            client.sendto(b"%d" % round_trip, ("127.0.0.1", port))
    came: dict[tuple[str, int], set[int]] = {}
    for _ in range(2 * len(clients)):
        ready, _, _ = select.select(sockets, [], [], 5)
        _, sender = ready[0].recvfrom(10)
        came.setdefault(sender, set()).add(sockets.index(ready[0]))
    close([*sockets, *clients])
    assert all(len(each) == 1 for each in came.values()), "a sender is at one thread"
    assert len(came) == 100
    assert set().union(*came.values()) == {0, 1, 2, 3}


def test_many_datagrams_may_wait_where_the_right_is_there() -> None:
    sockets = bind(udp("127.0.0.1", 0), 2)
    sizes = {each.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) for each in sockets}
    close(sockets)
    most = int(Path("/proc/sys/net/core/rmem_max").read_text())
    # The kernel counts what it keeps of them, too: twice as much.
    assert sizes == {2 * WAITING} or (os.geteuid() != 0 and max(sizes) <= 2 * most)


@pytest.mark.parametrize("address", ["127.0.0.1", "::"])
def test_a_port_of_udp_held_by_another_gateway_is_in_use(address: str) -> None:
    held = bind(udp(address, 0), 2)
    port = held[0].getsockname()[1]
    with pytest.raises(BindError, match=r"address in use by UDP: stop the program .*`ss -lunp"):
        bind(udp(address, port), 2)
    close(held)
    close(bind(udp(address, port), 1))


def test_a_port_is_bound_by_both_transports_and_given_up_apart() -> None:
    sockets = Sockets()
    port = free_port()
    assert ensure(sockets, [tcp("127.0.0.1", port), udp("127.0.0.1", port)], 2) == [
        f"tcp:127.0.0.1:{port}",
        f"udp:127.0.0.1:{port}",
    ]
    sockets.drop(f"udp:127.0.0.1:{port}")
    close(bind(udp("127.0.0.1", port), 1))
    with pytest.raises(BindError):
        bind(tcp("127.0.0.1", port), 1)
    sockets.close()


def test_all_addresses_of_udp_give_way_to_one_in_one_change() -> None:
    sockets = Sockets()
    port = free_port()
    ensure(sockets, [udp("::", port)], 2)
    assert ensure(sockets, [udp("127.0.0.1", port)], 2) == [f"udp:127.0.0.1:{port}"]
    sockets.close()
