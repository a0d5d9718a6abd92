# SPDX-License-Identifier: Apache-2.0
"""HTTP inside of TLS: what is served without it is served with it, and what is not TLS is told so."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.integration.tls.authority import Authority, Pair
from tests.integration.tls.client import (
    TIMEOUT,
    Sealer,
    ask,
    configuration,
    connect,
    entries,
    failed,
    request,
    response,
    secured,
)
from tidegate.testing import Message, Reply, endpoint, gateway, wait_until

LARGE = 10 << 20
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("version", VERSIONS)
def test_requests_follow_each_other_on_a_connection(
    authority: Authority, pair: Pair, version: ssl.TLSVersion
) -> None:
    with gateway(configuration(pair.listener())) as running:
        with secured(running, authority.client(version)) as client:
            for _ in range(3):
                assert ask(client)[1] == b"here"
            # At once, and cut in the middle of a head.
            several = request() * 5
            client.sendall(several[:60])
            client.sendall(several[60:])
            assert [response(client)[1] for _ in range(5)] == [b"here"] * 5
            told, shown = client.cipher(), client.version()
        assert told is not None and told[0]
        entry = entries(running, 8)[-1]
        assert (entry["tls"], entry["cipher"][:4]) == (shown, "TLS_")


@pytest.mark.parametrize("version", VERSIONS)
def test_large_bodies_go_both_ways_unchanged(
    authority: Authority, pair: Pair, version: ssl.TLSVersion
) -> None:
    body = bytes(range(256)) * (LARGE // 256)
    with endpoint(Reply(body=body)) as upstream:
        text = configuration(pair.listener(), {"path": "/", "to": upstream.url, "body_size": "20MiB"})
        with gateway(text) as running, secured(running, authority.client(version)) as client:
            client.sendall(request("/up", method="POST", more=f"Content-Length: {LARGE}\r\n") + body)
            assert response(client)[1] == body
            [message] = upstream.wait_for(1)
            assert message.body == body


def test_the_endpoint_and_the_client_learn_that_it_is_https(authority: Authority, pair: Pair) -> None:
    def answer(message: Message) -> Reply:
        return Reply(headers=[("Location", f"http://{message.get('host')}/a")])

    with endpoint(answer) as upstream:
        backend = {"endpoints": [upstream.address], "affinity": "cookie", "host": "endpoint"}
        moved = {"path": "/moved", "to": {"redirect": {"path": "/there"}}}
        forward = {"path": "/", "to": "shop"}
        text = configuration(pair.listener(), moved, forward, backends={"shop": backend})
        with gateway(text) as running, secured(running, authority.client()) as client:
            head = ask(client)[0].lower()
            [message] = upstream.wait_for(1)
            assert message.get("x-forwarded-proto") == "https"
            assert b"location: https://localhost/a\r\n" in head
            assert b"; secure" in next(line for line in head.split(b"\r\n") if line.startswith(b"set-cookie"))
            assert b"Location: https://localhost/there\r\n" in ask(client, path="/moved")[0]
            asked: dict[str, object] = {"method": "GET", "url": "https://localhost/moved"}
            assert running.explain(asked)["scheme"] == "https"
            assert running.url.startswith("https://")


def test_files_are_sent(authority: Authority, pair: Pair, tmp_path: Path) -> None:
    content = bytes(range(251)) * 20_000
    (tmp_path / "www").mkdir()
    (tmp_path / "www/large.bin").write_bytes(content)
    route = {"path": "/", "to": {"files": {"root": str(tmp_path / "www")}}}
    text = configuration(pair.listener(), route)
    with gateway(text) as running, secured(running, authority.client()) as client:
        assert ask(client, path="/large.bin")[1] == content
        assert (
            ask(client, path="/large.bin", more="Range: bytes=100000-100009\r\n")[1]
            == content[100_000:100_010]
        )


def test_an_upgraded_connection_carries_bytes_both_ways(authority: Authority, pair: Pair) -> None:
    with socket.create_server(("127.0.0.1", 0)) as origin:
        url = f"http://127.0.0.1:{origin.getsockname()[1]}"
        text = configuration(pair.listener(), {"path": "/", "to": url})
        with gateway(text) as running, secured(running, authority.client()) as client:
            client.sendall(request("/ws", more="Connection: upgrade\r\nUpgrade: websocket\r\n"))
            inner = origin.accept()[0]
            with inner:
                inner.settimeout(TIMEOUT)
                inner.recv(65_536)
                inner.sendall(
                    b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nfirst"
                )
                seen = b""
                while not seen.endswith(b"first"):
                    seen += client.recv(65_536)
                client.sendall(b"from the client")
                assert inner.recv(65_536) == b"from the client"
                inner.shutdown(socket.SHUT_WR)
                # The end is said inside of TLS: nothing was cut off.
                assert client.recv(65_536) == b""
                client.sendall(b"last words")
                assert inner.recv(65_536) == b"last words"


def test_a_connection_that_has_rested_goes_on(authority: Authority, pair: Pair) -> None:
    with gateway(configuration(pair.listener())) as running, secured(running, authority.client()) as client:
        for _ in range(2):
            assert ask(client)[1] == b"here"
            assert wait_until(lambda: running.status()["connections_resting"] == 1, TIMEOUT)
        assert ask(client)[1] == b"here"


def test_sessions_are_taken_up_again_and_not_by_another_listener(authority: Authority, pair: Pair) -> None:
    listeners = {"web": pair.listener(), "other": {**pair.listener(), "port": 60_444}}
    for version in VERSIONS:
        context = authority.client(version)
        with gateway(configuration(pair.listener(), listeners=listeners)) as running:
            with secured(running, context) as client:
                ask(client)
                session = client.session
            with secured(running, context, session=session) as client:
                ask(client)
                assert client.session_reused
                session = client.session
            place = ("127.0.0.1", running.ports["other"])
            with context.wrap_socket(
                socket.create_connection(place, TIMEOUT), server_hostname="localhost", session=session
            ) as client:
                ask(client)
                assert not client.session_reused


def test_sessions_are_taken_up_again_by_every_thread(authority: Authority, pair: Pair) -> None:
    context = authority.client(ssl.TLSVersion.TLSv1_2)
    settings = {"threads": 4, "admin": {"port": 60_999}}
    with gateway(configuration(pair.listener(), gateway=settings)) as running:
        with secured(running, context) as client:
            ask(client)
            session = client.session
        # A connection is with any of the four.
        for _ in range(24):
            with secured(running, context, session=session) as client:
                ask(client)
                assert client.session_reused


def test_a_hello_may_come_byte_by_byte(authority: Authority, pair: Pair) -> None:
    with gateway(configuration(pair.listener())) as running, connect(running) as bare:
        bare.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def send(sealed: bytes) -> None:
            for byte in sealed:
                bare.sendall(bytes([byte]))

        client = Sealer(authority.client(), bare)
        client.shake(send)
        send(client.seal(request()))
        assert client.read_until(b"here")


def test_a_hello_that_never_ends_is_closed_in_time(pair: Pair) -> None:
    listener = {**pair.listener(), "timeouts": {"handshake": "200ms"}}
    with gateway(configuration(listener)) as running:
        with connect(running) as silent, connect(running) as begun:
            begun.sendall(b"\x16\x03\x01\x02\x00\x01")
            assert (silent.recv(1), begun.recv(1)) == (b"", b"")
        assert failed(running, "timeout") == 2
        assert {entry["error"] for entry in entries(running, 2)} == {"tls_handshake_error"}


def test_plain_http_is_told_that_this_is_https(pair: Pair) -> None:
    with gateway(configuration(pair.listener())) as running:
        with connect(running) as bare:
            head, body = ask(bare)
            assert head.startswith(b"HTTP/1.1 400 ") and b"speaks https" in body
        assert failed(running, "plain_http") == 1
        [entry] = entries(running, 1)
        assert (entry["error"], entry["status"]) == ("tls_expected", 400)


@pytest.mark.parametrize("sent", [b"\x00garbage", b"\x16\x03\x01\x00\x05\xff\xff\xff\xff\xff", b"\x16\x09"])
def test_what_is_not_tls_is_closed_and_counted(pair: Pair, sent: bytes) -> None:
    with gateway(configuration(pair.listener())) as running:
        with connect(running) as bare:
            bare.sendall(sent)
            bare.shutdown(socket.SHUT_WR)
            while bare.recv(4096):
                pass
        kinds = ("not_tls", "malformed", "closed")
        assert wait_until(lambda: sum(failed(running, kind) for kind in kinds) == 1, TIMEOUT)


def test_tls_on_a_plain_port_is_refused_and_told_in_the_log(authority: Authority) -> None:
    with gateway(configuration({"port": 60_080})) as running:
        with pytest.raises((ssl.SSLError, OSError)), secured(running, authority.client()):
            pass
        [entry] = entries(running, 1)
        assert entry["status"] == 400 and "TLS" in entry["detail"]


def test_an_end_that_is_said_ends_the_connection(authority: Authority, pair: Pair) -> None:
    with gateway(configuration(pair.listener())) as running, secured(running, authority.client()) as client:
        ask(client)
        bare = client.unwrap()
        assert bare.recv(1) == b""
        bare.close()


def test_the_answer_to_a_last_request_ends_by_word(authority: Authority, pair: Pair) -> None:
    with gateway(configuration(pair.listener())) as running, secured(running, authority.client()) as client:
        assert ask(client, more="Connection: close\r\n")[1] == b"here"
        # Without a close_notify this would raise.
        assert client.recv(1) == b""


def test_other_records_than_requests_wake_nobody(authority: Authority, pair: Pair) -> None:
    """An idle connection that gets a part of a record stays idle, and then serves the whole."""
    with gateway(configuration(pair.listener())) as running, connect(running) as bare:
        client = Sealer(authority.client(), bare)
        client.shake(bare.sendall)
        sealed = client.seal(request())
        bare.sendall(sealed[:10])
        assert wait_until(lambda: running.status()["connections_resting"] == 1, TIMEOUT)
        bare.sendall(sealed[10:])
        assert client.read_until(b"here")


def test_curl_is_served(authority: Authority, pair: Pair) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("needs curl")
    with gateway(configuration(pair.listener())) as running:
        url = f"https://localhost:{running.port}/"
        told = subprocess.run(
            [curl, "-sS", "--ipv4", "--cacert", str(authority.file), url, url],
            capture_output=True,
            timeout=TIMEOUT,
            check=True,
        )
        assert told.stdout == b"herehere"
