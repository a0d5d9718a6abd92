# SPDX-License-Identifier: Apache-2.0
"""gRPC-Web through the gateway: both forms, every version of HTTP, streams, refusals, what is spoiled."""

from __future__ import annotations

import http.client
import json
import socket
import struct
import threading
from typing import Any

import pytest

from tests.integration.grpc.calls import CONTENT, message, reply
from tests.integration.grpc.calls import call as native
from tests.integration.grpc.web import (
    BINARY,
    TEXT,
    Answer,
    call,
    configuration,
    decoded,
    encoded,
    frames,
    read,
)
from tests.integration.http2.client import client
from tests.integration.http2.server import Asked, Connection, origin
from tests.integration.http3.client import client as http3
from tests.integration.http3.client import listener_of
from tests.integration.tls.authority import Authority, Pair
from tests.integration.tls.conftest import authority, pair
from tests.ports import free_port
from tidegate import ConfigError
from tidegate.testing import Reply, endpoint, gateway

__all__ = ["authority", "pair"]
TIMEOUT = 30.0
FORMS = pytest.mark.parametrize("media_type", [BINARY, TEXT])


@FORMS
def test_a_call_of_a_page_is_a_call_of_grpc_to_the_endpoint(media_type: str) -> None:
    with origin(reply) as upstream, gateway(configuration(upstream.port)) as running:
        answer = call(running, media_type=media_type, headers=[("x-own", "a")])
        assert (answer.status, answer.get("content-type")) == (200, media_type)
        assert (answer.messages, answer.trailers) == ([b"in"], {"grpc-status": "0", "grpc-message": ""})
        assert answer.get("content-length") is None
        [asked] = upstream.asked
        assert bytes(asked.body) == message(b"in")
        assert asked.get("content-type") == "application/grpc+proto"
        assert (asked.get("te"), asked.get("x-own")) == ("trailers", "a")
        assert asked.get("x-grpc-web") is None
        assert asked.get("x-user-agent") == "grpc-web-javascript/0.1"
        assert asked.get("content-length") == (None if media_type == TEXT else "7")
        [entry] = running.log(1)
        assert (entry["grpc_status"], entry["status"], entry["protocol"]) == (0, 200, "HTTP/1.1")
        assert (entry["bytes_in"], entry["bytes_out"]) == (
            len(encoded(message(b"in"), media_type)),
            len(answer.body),
        )


@FORMS
def test_over_http2_it_is_the_same(media_type: str) -> None:
    body = encoded(message(b"in"), media_type)
    with origin(reply) as upstream, gateway(configuration(upstream.port)) as running:
        with client(running) as connected:
            came = connected.ask("/a.B/C", method="POST", headers=[("content-type", media_type)], body=body)
        answer = read(Answer(came.status, came.headers, bytes(came.body)))
        assert (answer.messages, answer.told) == ([b"in"], ("0", ""))
        assert came.trailers == []


@FORMS
def test_over_http3_it_is_the_same(media_type: str, authority: Authority, pair: Pair) -> None:
    body = encoded(message(b"in"), media_type)
    listener = {**listener_of(pair), "http2": True}
    with origin(reply) as upstream, gateway(configuration(upstream.port, listener=listener)) as running:
        with http3(running, authority) as connected:
            came = connected.ask("/a.B/C", method="POST", headers=[("content-type", media_type)], body=body)
        answer = read(Answer(came.status, came.headers, bytes(came.body)))
        assert (answer.messages, answer.told) == ([b"in"], ("0", ""))
        assert came.trailers == []


@pytest.mark.parametrize(
    ("asked", "accept", "answered"),
    [(TEXT, BINARY, BINARY), (BINARY, TEXT, TEXT), (TEXT, "*/*", TEXT), (BINARY, "text/html", BINARY)],
)
def test_the_answer_has_the_form_that_is_accepted(asked: str, accept: str, answered: str) -> None:
    with origin(reply) as upstream, gateway(configuration(upstream.port)) as running:
        answer = call(running, media_type=asked, headers=[("accept", accept)])
        assert answer.get("content-type") == answered
        assert (answer.messages, answer.told[0]) == ([b"in"], "0")
        assert upstream.asked[0].get("accept") == (None if "grpc" in accept else accept)


@FORMS
@pytest.mark.parametrize("size", [0, 1, 2, 3, 5_000, 300_000])
def test_messages_of_any_size_go_both_ways_in_pieces(media_type: str, size: int) -> None:
    body = encoded(message(b"\x80=\n" * size), media_type)
    step = max(1, len(body) // 97)
    chunks = [body[at : at + step] for at in range(0, len(body), step)]
    with origin(reply) as upstream, gateway(configuration(upstream.port)) as running:
        answer = call(running, media_type=media_type, chunks=chunks)
        assert (answer.messages, answer.told[0]) == ([b"\x80=\n" * size], "0")
        assert call(running, media_type=media_type, body=body).messages == [b"\x80=\n" * size]


def test_padding_may_stand_inside() -> None:
    whole = message(b"one") + message(b"") + message(b"two!")
    body = b"".join(encoded(whole[at : at + 1]) for at in range(len(whole)))
    assert body.count(b"==") == len(whole)
    with origin(reply) as upstream, gateway(configuration(upstream.port)) as running:
        answer = call(running, media_type=TEXT, body=body)
        assert (answer.messages, answer.told[0]) == ([b"one", b"", b"two!"], "0")


@FORMS
def test_messages_are_passed_on_as_they_come(media_type: str) -> None:
    """Each is whole at the client before the endpoint sends the next."""
    turns = [threading.Event() for _ in range(4)]

    def whole(connection: Connection, asked: Asked) -> None:
        connection.head(asked, 200, [CONTENT])
        for number, turn in enumerate(turns):
            assert turn.wait(TIMEOUT)
            connection.data(asked, message(b"a" * number))
        connection.trailers(asked, [("grpc-status", "0"), ("x-last", "b")])

    with origin(whole) as upstream, gateway(configuration(upstream.port)) as running:
        connected = http.client.HTTPConnection("127.0.0.1", running.port, timeout=TIMEOUT)
        body = encoded(message(b""), media_type)
        connected.request("POST", "/a.B/C", body, {"Content-Type": media_type})
        answer = connected.getresponse()
        seen = b""
        for number, turn in enumerate(turns):
            turn.set()
            wanted = encoded(message(b"a" * number), media_type)
            while not seen.endswith(wanted):
                seen += answer.read1(65_536)
        seen += answer.read()
        connected.close()
        plain = decoded(seen) if media_type == TEXT else seen
        assert frames(plain) == ([b"a" * n for n in range(4)], {"grpc-status": "0", "x-last": "b"})


@FORMS
def test_what_ends_with_its_head_says_so_there(media_type: str) -> None:
    def ends(connection: Connection, asked: Asked) -> None:
        connection.head(asked, 200, [CONTENT, ("grpc-status", "5"), ("grpc-message", "gone")], ends=True)

    with origin(ends) as upstream, gateway(configuration(upstream.port)) as running:
        answer = call(running, media_type=media_type)
        assert (answer.status, answer.get("content-type"), answer.body) == (200, media_type, b"")
        assert answer.told == ("5", "gone")


def test_an_endpoint_that_says_no_status_is_unknown() -> None:
    def ends(connection: Connection, asked: Asked) -> None:
        connection.answer(asked, 200, [CONTENT], message(b"a"))

    with origin(ends) as upstream, gateway(configuration(upstream.port)) as running:
        answer = call(running)
        assert (answer.messages, answer.told[0]) == ([b"a"], "2")


def test_what_is_no_answer_of_grpc_is_passed_on() -> None:
    def ends(connection: Connection, asked: Asked) -> None:
        connection.answer(asked, 503, [("content-type", "text/html")], b"<p>later")

    with origin(ends) as upstream, gateway(configuration(upstream.port)) as running:
        answer = call(running, media_type=TEXT)
        assert (answer.status, answer.get("content-type"), answer.body) == (503, "text/html", b"<p>later")


@FORMS
def test_refusals_are_told_in_the_same_form(media_type: str) -> None:
    text = json.loads(configuration(free_port()))
    denied = {"allow": ["192.0.2.0/24"]}
    text["routes"] += [
        {"type": "grpc", "match": "deny.All", "clients": denied, "to": "shop", "web": True},
        {"type": "grpc", "match": "large.Body", "body_size": "5B", "to": "shop", "web": True},
        {"type": "grpc", "match": "closed.Shop", "maintenance": True, "to": "shop", "web": True},
    ]
    with gateway(json.dumps(text)) as running:
        for path, told in [
            ("/gone.Away/Now", ("14", "Bad Gateway")),
            ("/deny.All/Calls", ("7", "Forbidden")),
            ("/large.Body/Now", ("8", "Content Too Large")),
            ("/closed.Shop/Now", ("14", "503 Service Unavailable")),
        ]:
            answer = call(running, path, media_type=media_type)
            assert (answer.status, answer.told, answer.body) == (200, told, b""), path
            assert answer.get("content-type") == media_type.removesuffix("+proto")


@FORMS
@pytest.mark.parametrize("is_whole", [True, False])
def test_an_answer_that_is_cut_ends_with_a_frame_between_messages_alone(
    media_type: str, is_whole: bool
) -> None:
    def whole(connection: Connection, asked: Asked) -> None:
        connection.head(asked, 200, [CONTENT])
        connection.data(asked, message(b"first") + b"" if is_whole else message(b"half")[:-1])
        connection.close()

    with origin(whole) as upstream, gateway(configuration(upstream.port)) as running:
        if is_whole:
            answer = call(running, media_type=media_type)
            assert (answer.messages, answer.told) == ([b"first"], ("14", "Bad Gateway"))
        else:
            # What follows would be taken for the rest of the message.
            with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                call(running, media_type=media_type)
        [entry] = running.log(1)
        assert entry["error"] == "http_response_incomplete"


def test_deadlines_hold() -> None:
    def begun(connection: Connection, asked: Asked) -> None:
        connection.head(asked, 200, [CONTENT])
        connection.data(asked, message(b"begun"))

    with origin(begun) as upstream, gateway(configuration(upstream.port)) as running:
        answer = call(running, media_type=TEXT, headers=[("grpc-timeout", "500m")])
        assert (answer.messages, answer.told[0]) == ([b"begun"], "4")
        assert call(running, headers=[("grpc-timeout", "soon")]).told[0] == "13"


SPOILED = [
    (TEXT, b"AAAA!AAA"),
    (TEXT, b"AAAA AAA"),
    (TEXT, b"AAAAAAE"),
    (TEXT, b"AAAAAAE="),
    (TEXT, b"===="),
    (BINARY, b"\0\0\0\0"),
    (BINARY, b"\0\0\0\0\2a"),
    (BINARY, b"\x02\0\0\0\0"),
    (BINARY, b"\x80\0\0\0\0"),
    (BINARY, message(b"a") + b"\x80\0\0\0\x10grpc-status: 0\r\n"),
    (BINARY, b"\0\xff\xff\xff\xff" + bytes(1000)),
    (TEXT, encoded(b"\x80\0\0\0\0")),
]


@pytest.mark.parametrize(("media_type", "body"), SPOILED)
@pytest.mark.parametrize("is_chunked", [True, False])
def test_what_is_no_message_is_refused(media_type: str, body: bytes, is_chunked: bool) -> None:
    chunks = [body[at : at + 1] for at in range(min(20, len(body)))] + [body[20:]] if is_chunked else None
    chunks = chunks and [chunk for chunk in chunks if chunk]
    with origin(reply) as upstream, gateway(configuration(upstream.port)) as running:
        answer = call(running, media_type=media_type, body=body, chunks=chunks)
        assert (answer.status, answer.told) == (200, ("13", "Bad Request"))
        [entry] = running.log(1)
        assert entry["error"] == "http_request_error"
        assert not any(asked.ended for asked in upstream.asked)


def test_an_endpoint_that_sends_no_messages_is_cut() -> None:
    """It must not write the frame of trailers, which is the gateway's to write."""

    def ends(connection: Connection, asked: Asked) -> None:
        forged = b"grpc-status: 0\r\n"
        connection.head(asked, 200, [CONTENT])
        connection.data(asked, message(b"a"))
        connection.data(asked, struct.pack(">BI", 0x80, len(forged)) + forged)

    with origin(ends) as upstream, gateway(configuration(upstream.port)) as running:
        try:
            answer = call(running)
        except (http.client.IncompleteRead, ConnectionError):
            pass
        else:
            assert answer.told[0] != "0"
        [entry] = running.log(1)
        assert entry["error"] == "http_protocol_error"


def test_without_the_setting_it_is_a_request_like_any_other() -> None:
    text = json.loads(configuration(0, web=False))
    with endpoint(Reply(200, body=b"web")) as upstream:
        text["backends"]["shop"] = {"endpoints": [upstream.address]}
        text["routes"].append({"path": "/", "to": "shop"})
        with gateway(json.dumps(text)) as running:
            answer = call(running, media_type=TEXT, body=b"as it is")
            assert (answer.status, answer.body) == (200, b"web")
            [asked] = upstream.wait_for(1)
            assert (asked.get("content-type"), bytes(asked.body)) == (TEXT, b"as it is")
            assert asked.get("x-grpc-web") == "1"


def test_calls_of_grpc_go_the_same_way_unchanged() -> None:
    with origin(reply) as upstream, gateway(configuration(upstream.port)) as running:
        with client(running) as connected:
            answer = native(connected, body=message(b"a"))
        assert (bytes(answer.body), dict(answer.trailers)["grpc-status"]) == (message(b"a"), "0")
        assert answer.get("content-type") == "application/grpc+proto"


def test_a_body_that_is_held_and_a_copy_are_those_of_the_call() -> None:
    with origin(reply) as upstream, origin(reply) as other:
        text = json.loads(configuration(upstream.port, route={"buffer_request": "1MiB"}))
        text["backends"]["copy"] = {"endpoints": [f"127.0.0.1:{other.port}"], "http2": True}
        text["routes"][0]["mirror"] = {"to": "copy"}
        with gateway(json.dumps(text)) as running:
            answer = call(running, media_type=TEXT, body=encoded(message(b"a" * 1000)))
            assert answer.messages == [b"a" * 1000]
            [copied] = other.wait_for(1)
            assert bytes(copied.body) == message(b"a" * 1000)
            assert copied.get("content-type") == "application/grpc+proto"


def test_a_client_that_reads_nothing_pins_little() -> None:
    """The endpoint is stopped by the windows, whatever the form."""
    sent = threading.Event()
    count = 400

    def whole(connection: Connection, asked: Asked) -> None:
        if asked.get(":path") == "/a.B/D":
            reply(connection, asked)
            return
        connection.head(asked, 200, [CONTENT])
        for _ in range(count):
            connection.data(asked, message(bytes(65_536)))
        sent.set()
        connection.trailers(asked, [("grpc-status", "0")])

    head = f"POST /a.B/C HTTP/1.1\r\nHost: a\r\nContent-Type: {TEXT}\r\nContent-Length: 8\r\n\r\n"
    with (
        origin(whole) as upstream,
        gateway(configuration(upstream.port)) as running,
        socket.create_connection(("127.0.0.1", running.port), TIMEOUT) as connected,
    ):
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connected.sendall(head.encode() + encoded(message(b"")))
        assert connected.recv(100)
        assert not sent.wait(1)
        # Others are served meanwhile.
        assert call(running, "/a.B/D").told[0] == "0"


@pytest.mark.parametrize(
    ("route", "says"),
    [
        ({"type": "http", "path": "/", "to": "shop", "web": True}, "this route is of `type: http`"),
        ({"type": "grpc", "to": "shop", "web": {"origins": ["https://a"]}}, "write `cors: "),
        ({"type": "grpc", "to": "shop", "web": {"cors": True}}, "does not say whose pages"),
        ({"type": "grpc", "to": "shop", "web": {"cors": {"origins": []}}}, "must not be empty"),
        ({"type": "grpc", "to": "shop", "web": {"cors": {"origins": "a.test"}}}, "is no origin"),
        ({"type": "grpc", "to": "shop", "web": {"cors": {"origins": "same"}}}, "need no leave"),
        (
            {"type": "grpc", "to": "shop", "web": {"cors": {"origins": ["*", "https://a.test"]}}},
            "leave the others out",
        ),
        (
            {"type": "grpc", "to": "shop", "web": {"cors": {"origins": "*", "credentials": True}}},
            "browsers take no `\\*`",
        ),
        (
            {"type": "grpc", "to": "shop", "web": {"cors": {"allow_origins": ["*"]}}},
            "write `origins`",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(route: dict[str, Any], says: str) -> None:
    text = json.loads(configuration(60_001))
    text["routes"] = [route]
    with pytest.raises(ConfigError, match=says), gateway(json.dumps(text)):
        pass
