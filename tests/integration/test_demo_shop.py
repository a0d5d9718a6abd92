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
        command = [sys.executable, "-m", "shop.serve", f"shop.{kind}:app", "--until-input-ends"]
        command += ["--address", address, "--port", "7070"]
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert wait_for(lambda: request(self.address, "/healthz").status == 200, 30.0), "it does not answer"

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
