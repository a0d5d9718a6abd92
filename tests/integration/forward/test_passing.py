# SPDX-License-Identifier: Apache-2.0
"""What a forward proxy passes on, and what becomes of it on the way."""

from __future__ import annotations

import socket

from tests.integration.forward.kit import TIMEOUT, Asked, Origin, ask, curl, proxy, raw, status, tunnel
from tests.integration.http2.client import Answer, Client
from tests.integration.l4.kit import Server, read_all
from tests.integration.tls.authority import Authority


def test_a_url_is_asked_of_its_server_and_nothing_tells_of_the_client() -> None:
    with Origin() as origin, proxy(origin, via=True, pseudonym="outside") as running:
        told = ["-A", "agent/1", "-H", "X-Forwarded-For: 1.2.3.4", "-H", "Forwarded: for=1.2.3.4"]
        told += ["-H", "X-Real-IP: 1.2.3.4", "-H", "Via: 1.1 inner.corp.example", "-H", "Cookie: a=b"]
        told += ["-H", "Client-IP: 1.2.3.4", "-H", "X-Request-Id: abc", "-H", "From: a@b.example"]
        told += ["-H", "Proxy-Connection: keep-alive", "-H", "Proxy-Authorization: Basic YTpi"]
        answer = curl(running, *told, f"http://{origin.authority}/a/../b?c=d")
        assert answer.stdout.startswith("GET /b?c=d HTTP/1.1\n"), answer
        (asked,) = origin.asked
        names = {name.lower() for name, _ in asked.fields}
        assert names == {"host", "user-agent", "accept", "cookie", "via"}
        assert asked.get("via") == "1.1 outside" and asked.get("host") == origin.authority
        (entry,) = running.log(1)
        assert entry["endpoint"] == origin.authority and entry["status"] == 200
        assert (entry["host"], entry["path"], entry["route"]) == ("127.0.0.1", "/b", "forward:out")


def test_via_is_made_up_or_left_out() -> None:
    with Origin() as origin:
        with proxy(origin) as running:
            curl(running, "-H", "Via: 1.1 proxy-0a1b2c3d (x), 1.0 host", f"http://{origin.authority}/")
            own = socket.gethostname()
            first, second = [value for name, value in origin.asked[0].fields if name.lower() == "via"]
            assert first == "1.1 proxy-0a1b2c3d" and second.startswith("1.1 proxy-") and own not in second
        with proxy(origin, via=False) as running:
            curl(running, "-H", "Via: 1.1 proxy-0a1b2c3d", f"http://{origin.authority}/")
            assert origin.asked[1].get("via") is None


def test_bodies_trailers_and_kept_connections() -> None:
    def answer(asked: Asked) -> bytes:
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"

    with Origin(answer) as origin, proxy(origin) as running:
        url = f"http://{origin.authority}/up"
        twice = curl(running, "-T", "-", url, "--next", "-sS", "--data-binary", "x" * 70_000, url)
        assert twice.stdout.startswith("abc"), twice
        head = f"POST {url} HTTP/1.1\r\nHost: {origin.authority}\r\nTransfer-Encoding: chunked\r\n"
        chunks = "TE: trailers\r\nConnection: TE, close\r\n\r\n2\r\nhi\r\n0\r\nX-Trail: 2\r\n\r\n"
        assert b"X-Sum: 1" in raw(running, (head + chunks).encode())
        assert len(origin.asked[1].body) == 70_000 and origin.asked[2].body == b"hi"
        assert ("trailer of", "X-Trail: 2") in origin.asked[2].fields


def test_connections_are_kept_for_the_next_request() -> None:
    with Origin() as origin, proxy(origin) as running:
        for _ in range(10):
            for _ in range(2):
                assert ask(running, f"http://{origin.authority}/")[0] == 200
            if len(origin.connections) < len(origin.asked):
                return
        raise AssertionError("each request had a connection of its own")


def test_a_connection_that_is_one_persons_is_not_kept() -> None:
    """NTLM and Negotiate: the server knows who asks by the connection."""

    def answer(asked: Asked) -> bytes:
        more = b"WWW-Authenticate: Negotiate\r\n" if asked.line.startswith("GET /asks") else b""
        return b"HTTP/1.1 200 OK\r\n" + more + b"Content-Length: 0\r\n\r\n"

    with Origin(answer) as origin, proxy(origin) as running:
        for number in range(1, 4):
            field = "Authorization: NTLM abc" if number % 2 else "Cookie: a=b"
            path = "/" if number % 2 else "/asks"
            assert ask(running, f"http://{origin.authority}{path}", field)[0] == 200
            assert len(origin.connections) == number


def test_a_websocket_by_its_url() -> None:
    def answer(asked: Asked) -> bytes:
        return b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: own\r\n\r\nhello"

    with Origin(answer) as origin, proxy(origin) as running:
        lines = [f"GET http://{origin.authority}/ws HTTP/1.1", f"Host: {origin.authority}"]
        head = "\r\n".join([*lines, "Connection: upgrade", "Upgrade: own", "", ""])
        with socket.create_connection(("127.0.0.1", running.ports["out"]), TIMEOUT) as connection:
            connection.sendall(head.encode())
            connection.shutdown(socket.SHUT_WR)
            told = read_all(connection)
        assert told.startswith(b"HTTP/1.1 101 ") and told.endswith(b"hello")


def test_a_tunnel_passes_bytes_both_ways_and_is_written_down() -> None:
    with Server() as server:
        port = int(server.address.rpartition(":")[2])
        rule = {"addresses": "127.0.0.1", "ports": port}
        with proxy(allow=[rule]) as running:
            with tunnel(running, server.address) as connection:
                connection.sendall(b"ping" * 50_000)
                connection.shutdown(socket.SHUT_WR)
                assert read_all(connection) == b"ping" * 50_000
            (entry,) = running.log(1)
            assert (entry["method"], entry["status"]) == ("CONNECT", 200)
            assert entry["bytes_in"] == entry["bytes_out"] == 200_000
            assert entry["endpoint"] == server.address


def test_what_comes_with_connect_goes_into_the_tunnel() -> None:
    with Server() as server:
        port = int(server.address.rpartition(":")[2])
        with proxy(allow=[{"addresses": "127.0.0.1", "ports": port}]) as running:
            head = f"CONNECT {server.address} HTTP/1.1\r\nHost: {server.address}\r\n\r\nearly".encode()
            with socket.create_connection(("127.0.0.1", running.ports["out"]), TIMEOUT) as connection:
                connection.sendall(head)
                connection.shutdown(socket.SHUT_WR)
                assert read_all(connection).endswith(b"\r\n\r\nearly")


def test_https_through_the_proxy_and_the_proxy_over_tls(authority: Authority) -> None:
    origin_pair, own_pair = authority.pair("localhost"), authority.pair("localhost")
    context = origin_pair.origin()

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as inner:
            inner.recv(65_536)
            inner.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")

    with Server(serve) as server, Origin() as origin:
        port = int(server.address.rpartition(":")[2])
        rules = [{"addresses": ["127.0.0.0/8", "::1"], "ports": [port, origin.port]}]
        for scheme in ("http", "https"):
            listener = own_pair.listener() if scheme == "https" else {}
            listener = {**listener, "address": "127.0.0.1", "protocol": "forward"}
            with proxy(listener=listener, allow=rules) as running:
                ca = ["--cacert", str(authority.file), "--proxy-cacert", str(authority.file)]
                over = {"scheme": scheme, "host": "localhost"}
                answer = curl(running, *ca, f"https://localhost:{port}/", **over)
                assert answer.stdout.startswith("hi") and status(answer) == (200, 200), answer
                answer = curl(running, *ca, f"http://{origin.authority}/", **over)
                assert answer.stdout.startswith("GET / "), answer


def test_tunnels_and_urls_over_http2() -> None:
    with Server() as server, Origin() as origin:
        port = int(server.address.rpartition(":")[2])
        rules = [{"addresses": "127.0.0.0/8", "ports": [port, origin.port]}]
        with proxy(listener={"http2": True}, allow=rules) as running:
            client = Client(socket.create_connection(("127.0.0.1", running.ports["out"]), TIMEOUT))
            stream = client.send("/x?y", host=origin.authority)
            while not client.answers[stream].is_over:
                assert client.step()
            assert bytes(client.answers[stream].body) == b"GET /x?y HTTP/1.1"
            stream = client.machine.get_next_available_stream_id()
            client.machine.send_headers(stream, [(":method", "CONNECT"), (":authority", server.address)])
            client.answers[stream] = Answer()
            client.upload(stream, b"ping" * 1000)
            while not client.answers[stream].is_over:
                assert client.step()
            assert client.answers[stream].status == 200 and client.answers[stream].reset is None
            assert bytes(client.answers[stream].body) == b"ping" * 1000
            client.socket.close()


def test_a_proxy_is_no_site_and_a_site_is_no_proxy() -> None:
    with Origin() as origin, proxy(origin) as running:
        told, text = ask(running, "/")
        assert told == 404 and "forward proxy" in text
        for target in (
            "https://a.example/",
            "ftp://a.example/",
            "a.example",
            "a.example:443",
            "*",
            "http:///",
        ):
            assert ask(running, target)[0] == 400, target
        for target in (
            "a.example",
            "http://a.example/",
            "a.example:",
            ":443",
            "a.example:0",
            "a.example:70000",
        ):
            assert ask(running, target, method="CONNECT")[0] == 400, target
        with_body = ask(running, "a.example:443", "Content-Length: 3", method="CONNECT")
        assert with_body[0] == 400
        assert not origin.asked


def test_the_pac_file() -> None:
    pac = {"proxy": "proxy.example:3128", "direct": [".corp.example", "*.a.example", "b.example"]}
    with proxy(pac=pac) as running:
        answer = raw(running, b"GET /proxy.pac HTTP/1.0\r\n\r\n").decode()
        assert "content-type: application/x-ns-proxy-autoconfig\r\n" in answer
        body = answer.partition("\r\n\r\n")[2]
        for line in (
            "if (host === 'corp.example' || dnsDomainIs(host, '.corp.example')) return 'DIRECT';",
            "if (dnsDomainIs(host, '.a.example')) return 'DIRECT';",
            "if (host === 'b.example') return 'DIRECT';",
            "return 'PROXY proxy.example:3128';",
        ):
            assert line in body
    with proxy(pac={"file": "own text", "path": "/wpad.dat"}) as running:
        assert raw(running, b"GET /wpad.dat HTTP/1.0\r\n\r\n").endswith(b"own text")
