# SPDX-License-Identifier: Apache-2.0
"""What a route asks of WebSockets holds on streams of HTTP/2 and HTTP/3 as on connections of HTTP/1.1."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.integration.supervised import supervised
from tests.ports import free_port
from tidegate.testing import gateway

from .kit import Version, origin


def test_pages_of_other_origins_open_no_websocket(version: Version) -> None:
    listed = ["https://shop.example", "https://*.shop.example", "http://localhost:8080", "same"]
    with (
        origin() as (_, port),
        gateway(version.chat(port, websocket={"origins": listed})) as running,
        version.to_port(running.port) as connected,
    ):
        for good in (
            [],
            ["https://shop.example"],
            ["https://a.b.shop.example"],
            ["HTTPS://Shop.Example"],
            ["http://localhost:8080"],
            [f"{version.scheme}://localhost"],
        ):
            talk = version.opened(connected, origins=good)
            talk.send(b"hello")
            assert talk.hear() == b"hello"
        here = f"localhost:{running.port}"
        version.opened(connected, host=here, origins=[f"{version.scheme}://{here}"])
        wrong = (
            ["http://shop.example"],
            ["https://shop.example.evil.test"],
            ["https://evilshop.example"],
            ["https://.shop.example"],
            ["https://shop.example:8443"],
            ["null"],
            [""],
            [f"{version.scheme}://{here}"],
            ["https://shop.example", "https://evil.test"],
        )
        for origins in wrong:
            assert version.ask(connected, origins=origins).status() == 403, origins
        # What is no WebSocket is asked for by any page.
        assert connected.ask("/", headers=[("origin", "https://evil.test")]).status == 200
        denied = [entry for entry in running.log(len(wrong) + 1) if entry["status"] == 403]
        assert [entry["error"] for entry in denied] == ["http_request_denied"] * len(wrong)


def test_a_message_beyond_the_limit_ends_the_stream_and_is_not_passed_on(version: Version) -> None:
    with (
        origin() as (seen, port),
        gateway(version.chat(port, websocket={"message_size": "64KiB"})) as running,
        version.to_port(running.port) as connected,
    ):
        talk, other = version.opened(connected), version.opened(connected)
        talk.send(b"x" * 65_536)
        assert talk.hear() == b"x" * 65_536
        talk.send(b"y" * 30_000, b"y" * 30_000)
        assert talk.hear() == b"y" * 60_000
        # Of a message in pieces, the pieces before have gone.
        talk.send(b"z" * 40_000, b"z" * 40_000)
        assert talk.end() == 1009
        assert seen.end() == 1001
        assert seen.heard == [65_536, 60_000]
        other.send(b"goes on")
        assert other.hear() == b"goes on"
        [entry] = running.log(1)
        assert entry["error"] == "request_body_size" and "message_size" in entry["detail"]


def test_frames_are_followed_however_the_stream_cuts_them(version: Version) -> None:
    with (
        origin() as (seen, port),
        gateway(version.chat(port, websocket={"message_size": "5B"})) as running,
        version.to_port(running.port) as connected,
    ):
        talk = version.opened(connected)
        # "hello" under a mask of zeros, and then what is a byte too long.
        for byte in b"\x82\x85\0\0\0\0hello":
            talk.raw(bytes([byte]))
        assert talk.hear() == b"hello"
        for byte in b"\x82\x86\0\0\0\0":
            talk.raw(bytes([byte]))
        assert talk.end() == 1009
        # Where a part of that frame's head had passed, nothing could be said behind it.
        assert seen.end() in (1001, 1006) and seen.heard == [5]


def test_what_is_no_message_ends_a_stream_that_has_a_limit(version: Version) -> None:
    with (
        origin() as (seen, port),
        gateway(version.chat(port, websocket={"message_size": "1000B"})) as running,
        version.to_port(running.port) as connected,
    ):
        talk = version.opened(connected)
        # A text that is not masked, as no client may send it.
        talk.raw(b"\x81\x05hello")
        assert talk.end() == 1002
        assert seen.end() == 1001 and not seen.heard


def test_a_silent_client_is_asked_and_ended_if_it_does_not_answer(version: Version) -> None:
    with origin() as (seen, port):
        with (
            gateway(version.chat(port, websocket={"ping": "300ms"})) as running,
            version.to_port(running.port) as connected,
        ):
            silent = version.opened(connected)
            [answer] = connected.wait(silent.stream)
            # One ping, and in as long again the end.
            assert answer.body == b"\x89\x00" + b"\x88\x02\x03\xe9"
            assert answer.ended and not answer.reset, answer
            assert seen.end() == 1001
            [entry] = running.log(1)
            assert entry["error"] == "client_gone" and "ping" in entry["detail"]
        with (
            gateway(version.chat(port, websocket={"ping": "1s"})) as running,
            version.to_port(running.port) as connected,
        ):
            # Two that answer, whose pings do not depend on each other.
            talks = [version.opened(connected), version.opened(connected)]
            for talk in talks:
                talk.send(b"still here")
                assert talk.hear() == b"still here"
            for _ in range(3):
                for talk in talks:
                    talk.hear_ping()
            for talk in talks:
                talk.send(b"still here")
                assert talk.hear() == b"still here"


@pytest.mark.parametrize("which", ["upgraded_idle", "upgraded_life"])
def test_both_sides_are_told_when_time_is_up(version: Version, which: str) -> None:
    with (
        origin() as (seen, port),
        gateway(version.chat(port, timeouts={which: "400ms"})) as running,
        version.to_port(running.port) as connected,
    ):
        assert version.opened(connected).end() == 1001
        assert seen.end() == 1001
        # It was the stream's time, and not the connection's.
        assert connected.ask("/").status == 200


def test_websockets_that_are_open_when_a_gateway_stops_are_told(version: Version, tmp_path: Path) -> None:
    listening = free_port()
    with origin() as (seen, port):
        text = json.loads(version.chat(port))
        text["gateway"] = {"threads": 1, "graceful_stop": "6s"}
        text["listeners"]["web"] |= {"address": "127.0.0.1", "port": listening}
        with (
            supervised(tmp_path, json.dumps(text), port=listening) as running,
            version.to_port(listening) as connected,
        ):
            talk = version.opened(connected)
            talk.send(b"hello")
            assert talk.hear() == b"hello"
            os.kill(running.process.pid, signal.SIGTERM)
            assert talk.end() == 1001
        assert seen.end() == 1001
