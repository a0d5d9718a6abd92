# SPDX-License-Identifier: Apache-2.0
"""Connections of QUIC: clients that move, threads, reloads, certificates, the end of the node."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.integration.bad_days.site import Site, kill
from tests.integration.http3.client import Client, client, listener_of, to_port
from tests.integration.tls import client as tls
from tests.integration.tls.authority import Authority, Pair
from tests.ports import free_port
from tidegate.testing import Reply, endpoint, gateway

Web = Callable[..., dict[str, Any]]
NO_ERROR = 0x100
THREADS = {"gateway": {"threads": 4, "admin": {"port": 60_999}}}


def test_a_client_that_moves_goes_on_whatever_thread_its_packets_come_to(
    authority: Authority, web: Web
) -> None:
    body = bytes(range(256)) * 1_000
    with endpoint(Reply(body=body)) as upstream:
        text = tls.configuration(web(), {"path": "/", "to": upstream.url}, **THREADS)
        with gateway(text) as running, client(running, authority) as connected:
            # Each port is at one of four threads, and the connection at one alone.
            for _ in range(12):
                stream = connected.send("/")
                while not connected.answers[stream].body:
                    assert connected.step()
                connected.move()
                connected.quic.send_ping(1)
                connected.flush()
                [answer] = connected.wait(stream)
                assert (answer.status, bytes(answer.body) == body) == (200, True)
            assert connected.terminated is None


def test_a_client_that_moves_with_another_identifier_goes_on(authority: Authority, web: Web) -> None:
    with gateway(tls.configuration(web(), **THREADS)) as running, client(running, authority) as connected:
        for _ in range(6):
            assert connected.ask("/").body == b"here"
            connected.move()
            connected.quic.change_connection_id()
        assert connected.ask("/").body == b"here"


def test_connections_are_at_all_threads(authority: Authority, web: Web) -> None:
    with gateway(tls.configuration(web(), **THREADS)) as running:
        several = [Client(running.port, authority) for _ in range(24)]
        for each in several:
            assert each.shake().ask("/").body == b"here"
        for each in several:
            assert each.ask("/").body == b"here"
            each.close()


def test_an_endpoint_is_told_where_the_client_is_now(authority: Authority, web: Web) -> None:
    with endpoint() as upstream:
        text = tls.configuration(web(), {"path": "/", "to": upstream.url})
        with gateway(text) as running, client(running, authority) as connected:
            connected.ask("/")
            connected.move("127.0.0.3")
            connected.ask("/")
            told = [message.get("x-forwarded-for") for message in upstream.wait_for(2)]
    assert told == ["127.0.0.1", "127.0.0.3"]


def test_a_reload_keeps_connections_and_brings_new_settings(authority: Authority, web: Web) -> None:
    with endpoint(Reply(body=b"first")) as first, endpoint(Reply(body=b"second")) as second:
        texts = [tls.configuration(web(), {"path": "/", "to": each.url}) for each in (first, second)]
        with gateway(texts[0]) as running, client(running, authority) as connected:
            assert connected.ask("/").body == b"first"
            running.reload(texts[1])
            assert connected.ask("/").body == b"second"
            small = web(limits={"target_size": "1KiB"})
            running.reload(tls.configuration(small, {"path": "/", "to": second.url}))
            assert connected.ask("/" + "a" * 2000).status == 414


def test_certificates_are_exchanged_under_load_without_a_lost_handshake(
    authority: Authority, tmp_path: Path
) -> None:
    pairs = [authority.pair("localhost", file=f"site-{number}") for number in range(2)]
    texts = [tls.configuration(listener_of(pair), **THREADS) for pair in pairs]
    problems: list[str] = []
    count = 0
    with gateway(texts[0]) as running:
        over = threading.Event()

        def load() -> None:
            nonlocal count
            while not over.is_set():
                try:
                    with client(running, authority) as connected:
                        assert connected.ask("/").body == b"here"
                    count += 1
                except Exception as error:
                    problems.append(repr(error))

        loading = threading.Thread(target=load)
        loading.start()
        with client(running, authority) as kept:
            for number in range(10):
                running.reload(texts[(number + 1) % 2])
                assert kept.ask("/").body == b"here"
                before = count
                limit = time.monotonic() + tls.TIMEOUT
                while count < before + 2 and not problems and time.monotonic() < limit:
                    time.sleep(0.01)
        over.set()
        loading.join()
    assert problems == []
    assert count >= 20


def test_switched_off_by_a_reload_it_ends_in_good_order(authority: Authority, web: Web) -> None:
    held = threading.Event()
    with endpoint(delay=held) as upstream:
        route = {"path": "/", "to": upstream.url}
        with gateway(tls.configuration(web(), route)) as running, client(running, authority) as connected:
            stream = connected.send("/")
            upstream.wait_for(1)
            running.reload(tls.configuration(web(http3=False), route))
            late = Client(running.port, authority)
            late.step(0.2)
            assert late.shaken is None
            late.socket.close()
            held.set()
            assert connected.wait(stream)[0].status == 200
            with tls.secured(running, authority.client()) as other:
                assert b"200" in tls.ask(other)[0]


def test_a_node_that_ends_says_so_and_serves_what_was_begun(
    authority: Authority, pair: Pair, tmp_path: Path
) -> None:
    held, port = threading.Event(), free_port()
    (tmp_path / "site").mkdir()
    with endpoint(delay=held) as late, endpoint() as prompt:
        configuration = {
            "gateway": {"graceful_stop": "60s"},
            "listeners": {"web": listener_of(pair, address="127.0.0.1", port=port)},
            "routes": [{"path": "/late", "to": late.url}, {"path": "/", "to": prompt.url}],
        }
        with (
            Site(tmp_path / "site", configuration) as site,
            to_port(port, authority) as busy,
            to_port(port, authority) as idle,
        ):
            assert idle.ask("/").status == 200
            stream = busy.send("/late")
            late.wait_for(1)
            os.kill(site.supervisor, signal.SIGTERM)
            assert idle.wait_for_end() == NO_ERROR
            assert busy.answers[stream].status == 0
            held.set()
            assert busy.wait(stream)[0].status == 200
            assert busy.wait_for_end() == NO_ERROR
            assert busy.goaway == 4
            assert site.process is not None
            assert site.process.wait(tls.TIMEOUT) == 0


def test_a_node_that_is_killed_is_replaced_on_the_same_sockets(
    authority: Authority, pair: Pair, tmp_path: Path
) -> None:
    port = free_port()
    (tmp_path / "site").mkdir()
    configuration = {
        "listeners": {"web": listener_of(pair, address="127.0.0.1", port=port)},
        "routes": [tls.HERE],
    }
    with Site(tmp_path / "site", configuration) as site, to_port(port, authority) as connected:
        assert connected.ask("/").body == b"here"
        kill(site.pid("node"))
        # The next node knows nothing of that connection; a new one is taken.
        with to_port(port, authority) as other:
            assert other.ask("/").body == b"here"


def test_who_does_not_answer_costs_no_more_than_a_word_back(authority: Authority, web: Web) -> None:
    with gateway(tls.configuration(web())) as running:
        silent = [Client(running.port, authority) for _ in range(80)]
        with client(running, authority) as connected:
            assert connected.ask("/").body == b"here"
            assert connected.quic._retry_count == 1, "it was asked to come back with a token"
        for each in silent:
            each.socket.close()
        text = json.dumps(running.log())
        assert "panic" not in text


def test_a_packet_that_nobody_knows_is_answered_by_no_more_than_it_has(
    authority: Authority, web: Web
) -> None:
    with gateway(tls.configuration(web())) as running, client(running, authority) as connected:
        other = Client(running.port, authority)
        initial = 1200
        peer = connected.peer
        for packet in (b"", b"\0", b"\x40", b"\xc0", b"\x40" * 20, b"\xff" * 1200, bytes(range(256)) * 5):
            other.socket.sendto(packet, peer)
        assert connected.ask("/").body == b"here"
        # The first flight of the server before the client's address is known: three times as much at most.
        other.socket.settimeout(0.5)
        seen = 0
        try:
            while True:
                seen += len(other.socket.recv(65_536))
        except TimeoutError:
            pass
        sent = 2 * initial + 1200 + 1280 + 21
        assert seen <= 3 * sent
        other.socket.close()


def test_a_node_that_is_replaced_leaves_its_clients_to_the_next_at_once(
    authority: Authority, web: Web
) -> None:
    with endpoint(delay=threading.Event()) as upstream:
        text = tls.configuration(web(), {"path": "/", "to": upstream.url})
        with gateway(text) as running, client(running, authority) as connected:
            connected.send("/")
            upstream.wait_for(1)
            running._way.call("drain", has_heir=True, grace_ms=60_000)
            assert connected.wait_for_end() == NO_ERROR
            # Its socket is the next node's: nothing is read from it any more.
            other = Client(running.port, authority)
            other.step(0.2)
            assert (other.shaken, other.terminated) == (None, None)
            other.socket.close()
