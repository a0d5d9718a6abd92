# SPDX-License-Identifier: Apache-2.0
"""The shop's services and their small HTTP/1.1 server, without any gateway."""

from __future__ import annotations

import fcntl
import json
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tidegate.demo import files
from tidegate.demo.client import Pending, request, wait_for
from tidegate.demo.places import Places
from tidegate.demo.tour.evidence import Evidence

Start = Callable[..., "Running"]


class Running:
    """One service process."""

    def __init__(self, kind: str, address: str, folder: Path, gateway: str = "") -> None:
        self.address = f"{address}:7070"
        self.evidence = Evidence(folder / "logs", folder)
        environment = {
            "SHOP_INSTANCE": f"{kind}-1",
            "SHOP_ZONE": "az-1",
            "SHOP_DATA": str(folder),
            "SHOP_GATEWAY": gateway or f"http://{self.address}",
            "PYTHONPATH": str(files.root()),
        }
        program = ["shop.stock"] if kind == "stock" else ["shop.serve", f"shop.{kind}:app"]
        command = [sys.executable, "-m", *program, "--until-input-ends"]
        command += ["--address", address, "--port", "7070"]
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.data = folder
        is_ready = self._takes if kind == "stock" else self._is_well
        assert wait_for(is_ready, 30.0), "it does not answer"

    def _is_well(self) -> bool:
        return request(self.address, "/healthz").status == 200

    def _takes(self) -> bool:
        host, _, port = self.address.rpartition(":")
        with suppress(OSError), socket.create_connection((host, int(port)), timeout=10):
            return True
        return False

    def raw(self, data: bytes) -> bytes:
        """Everything that is answered to these bytes until the connection ends."""
        host, _, port = self.address.rpartition(":")
        with closing(socket.create_connection((host, int(port)), timeout=10)) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def end(self) -> None:
        """Ends it, if it has not."""
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.communicate(timeout=15)
        self.process.kill()


@pytest.fixture
def places() -> Iterator[Places]:
    places = Places(0)
    yield places
    places.close()


@pytest.fixture
def start(places: Places, tmp_path: Path) -> Iterator[Start]:
    running: list[Running] = []

    def begin(kind: str, gateway: str = "") -> Running:
        address = places.move(f"127.0.1.{11 + len(running)}")
        running.append(Running(kind, address, tmp_path, gateway))
        return running[-1]

    yield begin
    for one in running:
        one.end()


def test_user_updates_a_profile_in_its_database_and_logs_the_request(start: Start):
    user = start("user")
    answer = request(user.address, "/users/1", form={"name": "Nele"}, fields={"via": "1.1 gateway-1"})
    assert (answer.status, answer.instance, answer.zone) == (200, "user-1", "az-1")
    assert user.evidence.rows("user", "SELECT name, updated_by FROM users WHERE id = 1") == [
        ("Nele", "user-1")
    ]
    [seen] = user.evidence.since({}, "user-1")
    assert (seen.method, seen.path, seen.gateway) == ("POST", "/users/1", "gateway-1")
    page = request(user.address, "/users/1", form={"name": "Nele"}, fields={"accept": "text/html"})
    assert (page.status, page.fields["location"]) == (303, "/?done=profile#profile")


@pytest.mark.parametrize(
    ("path", "form", "status"),
    [
        ("/users/1", {"name": ""}, 400),
        ("/users/1", {"name": "x" * 80}, 200),
        ("/users/1", {"name": "x" * 81}, 400),
        ("/users/99", {"name": "Nobody"}, 404),
        ("/users", {"name": "Nobody"}, 404),
        ("/healthz", {}, 405),
    ],
)
def test_user_refuses_what_makes_no_sense(start: Start, path: str, form: dict[str, str], status: int):
    user = start("user")
    assert request(user.address, path, form=form).status == status


def test_payment_that_is_held_answers_once_released(start: Start):
    payment = start("payment")
    assert request(payment.address, "/control/hold", form={}).json["held"] is True
    pending = Pending(payment.address, "/payments", form={"cents": "500"})
    assert wait_for(lambda: request(payment.address, "/control").json["waiting"] == 1, 30.0)
    assert request(payment.address, "/healthz").status == 200, "held is not ill"
    assert len(payment.evidence.since({}, "payment-1", "/payments")) == 1
    request(payment.address, "/control/release", form={})
    assert pending.finish()[0] == 201
    assert request(payment.address, "/payments").json["cents"] == 500


def test_an_order_takes_the_cart_through_the_gateway_and_pays(start: Start):
    shop = start("monolith")
    assert request(shop.address, "/orders", form={"user": "1"}).status == 409, "an empty cart"
    for sku in ("lamp", "lamp", "rope"):
        request(shop.address, "/cart/1", form={"sku": sku})
    answer = request(shop.address, "/orders", form={"user": "1"})
    assert (answer.status, answer.json["cents"]) == (201, 2 * 4900 + 2250)
    assert request(shop.address, "/cart/1").json["items"] == []
    [order] = request(shop.address, "/orders?user=1").json["orders"]
    assert order["things"] == "2 × Storm lamp, 1 × Mooring rope"
    assert shop.evidence.rows("payment", "SELECT cents FROM payments") == [(2 * 4900 + 2250,)]


def test_the_page_needs_no_script_and_escapes_what_users_write(start: Start):
    shop = start("monolith")
    request(shop.address, "/users/1", form={"name": '<script>"x"'})
    answer = request(shop.address, "/?done=profile")
    text = answer.body.decode()
    assert answer.status == 200
    assert '<form method="post" action="/users/1">' in text
    assert "Update Profile" in text and "Profile saved." in text
    assert "<script>&quot;" not in text and "&lt;script&gt;" in text
    assert "127." not in text, "the page must not know an address"
    for name in ("style.css", "shop.js", "icon.svg"):
        assert request(shop.address, f"/assets/{name}").status == 200
    assert request(shop.address, "/assets/index.html").status == 404


def test_the_page_is_served_with_a_gap_where_a_service_is_silent(start: Start, places: Places):
    web = start("web", gateway=places.move("http://127.0.9.9:7070"))
    answer = request(web.address, "/")
    assert answer.status == 200
    assert b"This service is not answering right now." in answer.body


def test_connections_are_kept_and_requests_may_come_in_a_row(start: Start):
    user = start("user")
    head = b"GET /users/1 HTTP/1.1\r\nhost: x\r\n"
    answers = user.raw(head + b"\r\n" + head + b"connection: close\r\n\r\n" + head + b"\r\n")
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == 2, "none after the one that closes"
    assert answers.count(b"connection: keep-alive\r\n") == 1
    old = user.raw(b"GET /users/1 HTTP/1.0\r\n\r\n" * 2)
    assert old.count(b"HTTP/1.1 200") == 1


def test_bodies_may_be_chunked_announced_or_left_unread(start: Start):
    user = start("user")
    begin = b"POST /users/1 HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\n"
    chunked = begin + b"transfer-encoding: chunked\r\n\r\n5;a=b\r\nname=\r\n3\r\nAda\r\n0\r\nx: y\r\n\r\n"
    unread = b"POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc"
    last = begin + b"expect: 100-continue\r\ncontent-length: 8\r\nconnection: close\r\n\r\nname=Bob"
    answers = user.raw(chunked + unread + last)
    statuses = re.findall(rb"HTTP/1.1 (\d+)", answers)
    assert statuses == [b"200", b"404", b"100", b"200"]
    assert b'"Ada"' in answers and b'"Bob"' in answers


def test_head_has_the_length_and_no_body(start: Start):
    answer = start("user").raw(b"HEAD /users/1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-length: " in head and b"content-length: 0" not in head
    assert body == b""


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /users/1\r\n\r\n",
        b"GET  /users/1 HTTP/1.1\r\n\r\n",
        b"GET /users/1 HTTP/2.0\r\n\r\n",
        b"GET /users/1 HTTP/1.1\r\nhost : x\r\n\r\n",
        b"GET /users/1 HTTP/1.1\r\nhost: x\r\n folded\r\n\r\n",
        b"POST /users/1 HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"POST /users/1 HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /users/1 HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n0\r\n\r\n",
        b"POST /users/1 HTTP/1.1\r\ncontent-length: +1\r\n\r\na",
        b"POST /users/1 HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nx\r\n\r\n",
    ],
)
def test_malformed_requests_are_refused_and_the_connection_ends(start: Start, request_bytes: bytes):
    user = start("user")
    answer = user.raw(request_bytes + b"GET /healthz HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert answer.count(b"HTTP/1.1 ") == 1


def test_a_request_in_flight_ends_well_when_the_server_is_told_to_stop(start: Start):
    payment = start("payment")
    request(payment.address, "/control/hold", form={})
    pending = Pending(payment.address, "/payments")
    control = Pending(payment.address, "/control/release", form={}, fields={"x": "y"})
    # Both are in before the signal: the second answer says that the first was seen.
    assert wait_for(lambda: len(payment.evidence.since({}, "payment-1", "/payments")) == 1, 30.0)
    payment.process.send_signal(signal.SIGTERM)
    assert control.finish()[0] == 200
    assert pending.finish()[0] == 200
    assert payment.process.wait(30) == 0


def test_a_service_ends_with_whoever_started_it(start: Start):
    user = start("user")
    assert user.process.stdin is not None
    user.process.stdin.close()
    user.process.stdin = None
    assert user.process.wait(30) == 0


def test_log_lines_are_json_with_one_answer_for_each_request(start: Start, tmp_path: Path):
    user = start("user")
    for _ in range(3):
        request(user.address, "/users/1")
    lines = [json.loads(line) for line in (tmp_path / "logs" / "user-1.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["request", "answer"] * 3
    assert [line["number"] for line in lines] == [1, 1, 2, 2, 3, 3]


def test_an_instance_waits_while_another_prepares_the_new_database(start: Start, tmp_path: Path):
    # SQLite says "database is locked" at once when a new file is switched to WAL while another writes.
    user = start("user")
    with (
        (tmp_path / "user.lock").open("w") as turn,
        closing(sqlite3.connect(tmp_path / "user.sqlite")) as other,
    ):
        fcntl.flock(turn, fcntl.LOCK_EX)
        other.execute("CREATE TABLE things (id INTEGER)")
        other.execute("BEGIN IMMEDIATE")
        pending = Pending(user.address, "/users/1", patience=20.0)
        assert wait_for(lambda: len(user.evidence.since({}, "user-1")) == 1, 30.0)
        other.rollback()
    assert pending.finish()[0] == 200


def websocket(service: Running, path: str, *frames: bytes, **fields: str) -> tuple[bytes, bytes]:
    """The head and all else that one is told who asks for a WebSocket and sends these frames."""
    sent = {"upgrade": "websocket", "connection": "upgrade", "sec-websocket-version": "13", **fields}
    sent.setdefault("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in sent.items())
    host, _, port = service.address.rpartition(":")
    with closing(socket.create_connection((host, int(port)), timeout=60)) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\n{lines}\r\n".encode() + b"".join(frames))
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, rest = answer.partition(b"\r\n\r\n")
    return head, rest


def frame(first: int, payload: bytes = b"", masked: bool = True) -> bytes:
    """A frame of a client, masked by a key that is not of zeros."""
    key = b"\x01\x02\x03\x04"
    if not masked:
        return bytes([first, len(payload)]) + payload
    return bytes([first, 0x80 | len(payload)]) + key + bytes(b ^ key[i % 4] for i, b in enumerate(payload))


@pytest.fixture
def ordered(start: Start) -> Running:
    """A shop with an order, number 1, that was sent long ago."""
    shop = start("monolith")
    request(shop.address, "/cart/1", form={"sku": "lamp"})
    assert request(shop.address, "/orders", form={"user": "1"}).json["order"] == 1
    with closing(sqlite3.connect(shop.data / "order.sqlite")) as database, database:
        database.execute("UPDATE orders SET placed = placed - 1000")
    return shop


def test_the_status_of_an_order_is_pushed_to_its_end(ordered: Running):
    head, rest = websocket(ordered, "/orders/1/status", frame(0x89, b"hi"), frame(0x81, b"ignored"))
    # The answer to the key is that of RFC 6455 §1.3.
    assert head.startswith(b"HTTP/1.1 101 ") and b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
    status = json.loads(rest[rest.index(b"{") : rest.rindex(b"}") + 1])
    assert status == {"order": 1, "status": "sent", "instance": "monolith-1", "zone": "az-1"}
    assert rest.endswith(b"\x88\x02\x03\xe8"), "closed with 1000"
    [seen] = [seen for seen in ordered.evidence.since({}, "monolith-1") if seen.method == "WEBSOCKET"]
    assert seen.path == "/orders/1/status"
    assert request(ordered.address, "/orders/1/status").json["status"] == "sent", "and for those without"


def test_each_stage_of_an_order_is_pushed_when_it_comes(ordered: Running):
    with closing(sqlite3.connect(ordered.data / "order.sqlite")) as database, database:
        # In the future: so the first stage is not over when we ask, however slow this machine is.
        database.execute("UPDATE orders SET placed = ? WHERE id = 1", (time.time() + 2,))
    _, told = websocket(ordered, "/orders/1/status")
    assert re.findall(rb'"status": "(\w+)"', told) == [b"ordered", b"packed", b"sent"]


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("/orders/1/status", {"sec_websocket_version": "8"}, 400),
        ("/orders/1/nothing", {}, 403),
        ("/orders/2/status", {}, 101),
    ],
)
def test_websockets_that_make_no_sense(ordered: Running, path: str, fields: dict[str, str], status: int):
    head, rest = websocket(ordered, path, **fields)
    assert int(head.split()[1]) == status
    assert b"{" not in rest
    # There is no such order, and so nothing to push.
    assert status != 101 or rest == b"\x88\x02\x03\xe8"


@pytest.mark.parametrize(
    ("spoilt", "code"),
    [
        (frame(0x81, b"unmasked", masked=False), 1002),
        (frame(0xC1, b"reserved bit"), 1002),
        (b"\x81\xff" + (1 << 40).to_bytes(8, "big"), 1009),
        (frame(0x88, b"\x03\xe9"), 1001),
    ],
)
def test_frames_that_make_no_sense_end_the_websocket(ordered: Running, spoilt: bytes, code: int):
    with closing(sqlite3.connect(ordered.data / "order.sqlite")) as database, database:
        database.execute("UPDATE orders SET placed = ?", (time.time() + 1000,))
    _, rest = websocket(ordered, "/orders/1/status", spoilt)
    assert rest == b"\x88\x02" + code.to_bytes(2, "big")


def test_the_stock_answers_lines(start: Start):
    stock = start("stock")
    assert stock.raw(b"lamp\nanchor\n") == (
        b"lamp: 12 on shelf A1 (stock-1, az-1)\n"
        b"anchor: unknown; try lamp, rope, compass, kettle (stock-1, az-1)\n"
    )
    for spoilt in (b"\xff\n", b"x" * 10_000):
        assert stock.raw(spoilt) == b""
    assert stock.raw(b"rope\n") == b"rope: 140 on shelf B4 (stock-1, az-1)\n"
    assert [seen.path for seen in stock.evidence.since({}, "stock-1", "")] == ["lamp", "anchor", "rope"]
