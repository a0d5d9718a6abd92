# SPDX-License-Identifier: Apache-2.0
"""What a client over HTTP/2 may cost, how long it is waited for, and how its connection ends."""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import threading
from pathlib import Path

import h2.exceptions
import pytest
from h2.errors import ErrorCodes

from tests.integration.bad_days.site import Site
from tests.integration.http2.client import Client, client, configuration, to_port
from tests.ports import free_port
from tidegate.testing import Reply, RunningGateway, endpoint, gateway

TIMEOUT = 30.0
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame, however wrong (RFC 9113 §4.1)."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def resident(pid: int) -> int:
    """Memory of a process in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def details(running: RunningGateway, count: int = 1) -> list[str]:
    """What the log says of the last failures."""
    return [entry["detail"] for entry in running.log(count) if "detail" in entry]


def test_more_requests_at_a_time_than_the_limit_are_refused_and_may_come_again() -> None:
    held = threading.Event()
    with endpoint(delay=held) as upstream:
        text = configuration({"path": "/", "to": upstream.url}, listener={"limits": {"streams": 3}})
        with gateway(text) as running, client(running) as connected:
            taken = [connected.send("/") for _ in range(3)]
            upstream.wait_for(3)
            # The client learned the limit; this one does not keep it.
            connected.machine.remote_settings[3] = 100
            connected.machine.remote_settings.acknowledge()
            [refused] = connected.wait(connected.send("/"))
            assert refused.reset == ErrorCodes.REFUSED_STREAM
            held.set()
            assert [answer.status for answer in connected.wait(*taken)] == [200] * 3
            assert connected.ask("/").status == 200


def test_heads_targets_and_bodies_have_the_listeners_limits() -> None:
    limits = {"header_size": "4KiB", "header_fields": 20, "target_size": "1KiB", "body_size": "10KiB"}
    with endpoint() as upstream:
        text = configuration({"path": "/", "to": upstream.url}, listener={"limits": limits})
        with gateway(text) as running, client(running) as connected:
            assert connected.ask("/", headers=[("x-long", "a" * 3000)]).status == 200
            assert connected.ask("/", headers=[("x-long", "a" * 5000)]).status == 431
            head = connected.ask("/", method="HEAD", headers=[("x-long", "a" * 5000)])
            assert (head.status, bytes(head.body)) == (431, b"")
            many = [(f"x-{number}", "a") for number in range(30)]
            assert connected.ask("/", headers=many).status == 431
            assert connected.ask("/" + "a" * 1100).status == 414
            told = [("content-length", "20000")]
            assert connected.ask("/", method="POST", headers=told, body=b"a" * 20_000).status == 413
            assert connected.ask("/", method="POST", body=b"a" * 20_000).status == 413
            # Nobody else on the connection is worse off.
            assert connected.ask("/").status == 200
            assert all(len(message.body) <= 10_240 for message in upstream.messages)


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ([("connection", "close")], "a field of HTTP/1.1 connections"),
        ([("transfer-encoding", "chunked")], "a field of HTTP/1.1 connections"),
        ([("X-Upper", "1")], "a name in upper case"),
        ([("te", "gzip")], "te other than trailers"),
        ([("host", "other.test")], ":authority and host differ"),
        ([("content-length", "1"), ("content-length", "2")], "content-length more than once"),
        ([("content-length", "5")], "no content where content-length announces it"),
    ],
)
def test_what_is_malformed_is_reset_and_the_log_says_why(headers: list[tuple[str, str]], detail: str) -> None:
    with endpoint() as upstream:
        text = configuration({"path": "/", "to": upstream.url})
        with gateway(text) as running, client(running) as connected:
            assert connected.ask("/", headers=headers).reset == ErrorCodes.PROTOCOL_ERROR
            assert any(detail in said for said in details(running)), details(running)
            assert connected.ask("/").status == 200
            assert len(upstream.messages) == 1


def test_requests_that_are_no_requests_get_the_answers_they_get_over_http1() -> None:
    with gateway(configuration()) as running, client(running) as connected:
        assert connected.ask("/", method="TRACE").status == 405
        assert connected.ask("/", headers=[("expect", "miracles")]).status == 417
        assert connected.ask("/a%00b").status == 400
        assert connected.ask("/", host="bad host\u00e9").reset is not None


def test_a_client_that_resets_ends_its_request_at_the_endpoint() -> None:
    held = threading.Event()
    with endpoint(delay=held) as upstream:
        text = configuration({"path": "/", "to": upstream.url})
        with gateway(text) as running, client(running) as connected:
            stream = connected.send("/")
            upstream.wait_for(1)
            connected.machine.reset_stream(stream, ErrorCodes.CANCEL)
            connected.flush()
            [entry] = running.log(1)
            assert (entry["status"], entry["error"]) == (499, "client_gone")
            held.set()
            assert upstream.wait(lambda each: each.connections[0].closed, TIMEOUT)
            assert connected.ask("/").status == 200


def test_a_response_that_is_cut_is_reset_and_the_connection_goes_on() -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
    with endpoint(Reply(body=b"whole")) as whole, endpoint(raw=reply) as cut:
        text = configuration({"path": "/cut", "to": cut.url}, {"path": "/", "to": whole.url})
        with gateway(text) as running, client(running) as connected:
            answer = connected.ask("/cut")
            assert (answer.status, answer.reset, answer.ended) == (200, ErrorCodes.INTERNAL_ERROR, False)
            assert connected.ask("/").body == b"whole"


def test_content_that_nobody_reads_is_refused_without_an_error() -> None:
    with gateway(configuration()) as running, client(running) as connected:
        stream = connected.send("/", method="POST", ends=False)
        [answer] = connected.wait(stream)
        assert (answer.status, bytes(answer.body), answer.ended) == (200, b"here", True)
        while answer.reset is None:
            assert connected.step()
        assert answer.reset == ErrorCodes.NO_ERROR
        assert connected.ask("/").body == b"here"


def test_a_client_that_opens_no_window_holds_up_nobody_and_is_cut_off() -> None:
    body = b"a" * 300_000
    with endpoint(Reply(body=body)) as upstream:
        listener = {"timeouts": {"send_stall": "1s"}}
        text = configuration({"path": "/", "to": upstream.url}, listener=listener)
        with gateway(text) as running, client(running, reads=False) as connected:
            stream = connected.send("/")
            answer = connected.answers[stream]
            while not answer.is_over:
                assert connected.step()
            assert answer.reset == ErrorCodes.INTERNAL_ERROR
            assert 0 < len(answer.body) < len(body)
            [entry] = running.log(1)
            assert entry["error"] == "client_gone"


def test_a_body_that_stops_is_given_up() -> None:
    with endpoint() as upstream:
        listener = {"timeouts": {"body_stall": "1s"}}
        text = configuration({"path": "/", "to": upstream.url}, listener=listener)
        with gateway(text) as running, client(running) as connected:
            stream = connected.send("/", method="POST", body=b"half", ends=False)
            assert connected.wait(stream)[0].status == 408
            assert connected.ask("/").status == 200


@pytest.mark.parametrize(
    ("sent", "code", "timeouts"),
    [
        (PREFACE[:10], None, {"header": "1s", "handshake": "1s"}),
        (PREFACE, ErrorCodes.SETTINGS_TIMEOUT, {"handshake": "1s"}),
        (PREFACE + frame(4, 0, 0), ErrorCodes.SETTINGS_TIMEOUT, {"handshake": "1s"}),
        (PREFACE + frame(4, 0, 0) + frame(4, 1, 0) + b"\0\0", ErrorCodes.ENHANCE_YOUR_CALM, {"header": "1s"}),
        (
            PREFACE + frame(4, 0, 0) + frame(4, 1, 0) + frame(1, 1, 1, b"\x82"),
            ErrorCodes.ENHANCE_YOUR_CALM,
            {"header": "1s"},
        ),
        (PREFACE + frame(4, 0, 0) + frame(4, 1, 0), ErrorCodes.NO_ERROR, {"idle": "1s"}),
    ],
    ids=["preface", "settings", "acknowledgement", "frame", "head", "idle"],
)
def test_who_takes_long_is_told_to_go(sent: bytes, code: ErrorCodes | None, timeouts: dict[str, str]) -> None:
    with gateway(configuration(listener={"timeouts": timeouts})) as running, client(running) as connected:
        connected.socket.close()
        with client(running) as slow:
            slow.socket.close()
        import socket

        with socket.create_connection(("127.0.0.1", running.port), TIMEOUT) as raw:
            raw.sendall(sent)
            seen = b""
            while piece := raw.recv(65_536):
                seen += piece
        goaways = [part for part in _frames(seen) if part[0] == 7]
        assert [struct.unpack(">II", payload)[1] for _, payload in goaways] == (
            [] if code is None else [code]
        )


def _frames(data: bytes) -> list[tuple[int, bytes]]:
    """Kinds and payloads; nothing of what is no frame."""
    found = []
    while len(data) >= 9 and not data.startswith(b"HTTP/1.1"):
        length = int.from_bytes(data[:3], "big")
        found.append((data[3], data[9 : 9 + length]))
        data = data[9 + length :]
    return found


def test_a_rapid_reset_ends_the_connection() -> None:
    with endpoint(delay=threading.Event()) as upstream:
        text = configuration({"path": "/", "to": upstream.url})
        with gateway(text) as running, client(running) as connected:
            for _ in range(200):
                stream = connected.send("/")
                connected.machine.reset_stream(stream)
                try:
                    connected.flush()
                except OSError:
                    break
            assert connected.wait_for_end() == ErrorCodes.ENHANCE_YOUR_CALM
            assert "too many streams reset by the client" in details(running, 100)
            with client(running) as other:
                assert other.send("/")


def test_what_is_given_up_as_it_comes_asks_no_endpoint() -> None:
    with endpoint() as upstream:
        text = configuration({"path": "/", "to": upstream.url})
        with gateway(text) as running, client(running) as connected:
            streams = []
            for _ in range(30):
                stream = connected.machine.get_next_available_stream_id()
                pseudo = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/gone")]
                connected.machine.send_headers(stream, pseudo, end_stream=True)
                connected.machine.reset_stream(stream, ErrorCodes.CANCEL)
                streams.append(stream)
            # All of it in one segment.
            connected.flush()
            assert connected.ask("/here").status == 200
            gone = [entry for entry in running.log(31) if entry["path"] == "/gone"]
            assert {(entry["status"], entry["error"]) for entry in gone} == {(499, "client_gone")}
            assert len(gone) == len(streams)
            assert [message.target for message in upstream.messages] == ["/here"]


def test_responses_that_nobody_takes_hold_little_each() -> None:
    with endpoint(Reply(body=b"a" * 262_144)) as upstream:
        backend = {"endpoints": [upstream.address], "limits": {"connections": 1_000}}
        text = configuration({"path": "/", "to": "b"}, backends={"b": backend})
        with gateway(text) as running, contextlib.ExitStack() as stack:
            pid = running.status()["pid"]
            clients = [stack.enter_context(client(running, reads=False)) for _ in range(4)]
            for connected in clients:
                connected.machine.update_settings({4: 0})
                connected.ask("/", method="HEAD")
            before = resident(pid)
            for connected in clients:
                streams = [connected.send("/") for _ in range(99)]
                while not all(connected.answers[stream].status for stream in streams):
                    assert connected.step()
            held = resident(pid) - before
            # As tasks, requests and connections to the endpoint, without the buffers that they were read by.
            # Memory becomes resident in steps of up to 2 MiB.
            assert held <= 4 + 2 << 20, held


def test_refusals_that_nobody_takes_hold_little_each() -> None:
    many = [(f"x-{number}", "a") for number in range(30)]
    text = configuration(listener={"limits": {"header_fields": 20}})
    with gateway(text) as running, contextlib.ExitStack() as stack:
        pid = running.status()["pid"]
        clients = [stack.enter_context(client(running, reads=False)) for _ in range(8)]
        for connected in clients:
            connected.machine.update_settings({4: 0})
            connected.ask("/", method="HEAD")
        before = resident(pid)
        for connected in clients:
            streams = [connected.send("/", headers=many) for _ in range(99)]
            while not all(connected.answers[stream].status == 431 for stream in streams):
                assert connected.step()
        held = resident(pid) - before
        assert held <= 8 + 2 << 20, held


def test_a_node_that_ends_says_so_and_serves_what_was_begun(tmp_path: Path) -> None:
    held, port = threading.Event(), free_port()
    with endpoint(delay=held) as late, endpoint() as prompt:
        configuration = {
            "gateway": {"graceful_stop": "60s"},
            "listeners": {"web": {"address": "127.0.0.1", "port": port, "http2": True}},
            "routes": [{"path": "/late", "to": late.url}, {"path": "/", "to": prompt.url}],
        }
        with Site(tmp_path, configuration) as site, to_port(port) as busy, to_port(port) as idle:
            assert idle.ask("/").status == 200
            stream = busy.send("/late")
            late.wait_for(1)
            os.kill(site.supervisor, signal.SIGTERM)
            assert idle.wait_for_end() == ErrorCodes.NO_ERROR
            while busy.goaway is None:
                assert busy.step()
            held.set()
            assert busy.wait(stream)[0].status == 200
            assert busy.wait_for_end() == ErrorCodes.NO_ERROR
            assert site.process is not None
            assert site.process.wait(TIMEOUT) == 0


def test_a_reload_keeps_the_connection_and_brings_new_settings() -> None:
    with endpoint(Reply(body=b"first")) as first, endpoint(Reply(body=b"second")) as second:
        texts = [configuration({"path": "/", "to": each.url}) for each in (first, second)]
        with gateway(texts[0]) as running, client(running) as connected:
            assert connected.ask("/").body == b"first"
            running.reload(texts[1])
            assert connected.ask("/").body == b"second"
            small = configuration(
                {"path": "/", "to": second.url}, listener={"limits": {"target_size": "1KiB"}}
            )
            running.reload(small)
            assert connected.ask("/" + "a" * 2000).status == 414


def test_what_a_connection_may_hold_is_bounded() -> None:
    held = threading.Event()
    with endpoint(delay=held) as late, endpoint() as prompt:
        text = configuration({"path": "/late", "to": late.url}, {"path": "/", "to": prompt.url})
        with gateway(text) as running, client(running) as connected, client(running) as other:
            large = [(f"x-{number}", "a" * 3000) for number in range(9)]
            streams = [connected.send("/late", headers=large) for _ in range(60)]
            refused = [stream for stream in streams if _is_over(connected, stream)]
            taken = [stream for stream in streams if stream not in refused]
            assert 10 < len(taken) < 50
            answers = connected.wait(*refused)
            assert {answer.reset for answer in answers} == {ErrorCodes.REFUSED_STREAM}
            assert other.ask("/").status == 200
            held.set()
            assert {answer.status for answer in connected.wait(*taken)} == {200}
            assert connected.ask("/", headers=large).status == 200


def _is_over(connected: Client, stream: int) -> bool:
    """Whether a stream is over, once all that was sent has been judged."""
    acknowledged = connected.pings
    connected.machine.ping(b"12345678")
    connected.flush()
    while connected.pings == acknowledged:
        assert connected.step()
    return connected.answers[stream].is_over


def test_a_hundred_requests_that_wait_are_taken() -> None:
    held = threading.Event()
    with endpoint(delay=held) as upstream:
        text = configuration({"path": "/", "to": upstream.url})
        with gateway(text) as running, client(running) as connected:
            streams = [connected.send("/") for _ in range(100)]
            upstream.wait_for(100)
            held.set()
            assert {answer.status for answer in connected.wait(*streams)} == {200}


def test_content_beyond_what_a_connection_may_hold_resets_its_stream() -> None:
    held = threading.Event()
    with endpoint(delay=held) as late:
        backend = {"endpoints": [late.address], "limits": {"connections": 1}, "timeouts": {"pending": "60s"}}
        text = configuration({"path": "/", "to": "late"}, backends={"late": backend})
        with gateway(text) as running, client(running) as connected:
            first = connected.send("/")
            late.wait_for(1)
            # These wait for the one connection, and nobody reads what they bring.
            large = [(f"x-{number}", "a" * 3000) for number in range(9)]
            waiting = [connected.send("/", headers=large) for _ in range(14)]
            bodies = [connected.send("/", method="POST", ends=False) for _ in range(2)]
            for stream in bodies:
                with contextlib.suppress(h2.exceptions.StreamClosedError):
                    connected.upload(stream, b"a" * 250_000, ends=False)
            reset = [stream for stream in bodies if _is_over(connected, stream)]
            codes = {answer.reset for answer in connected.wait(*reset)}
            assert codes == {ErrorCodes.ENHANCE_YOUR_CALM}
            assert "the requests of the connection hold too much memory" in details(running, 1)
            assert not any(connected.answers[stream].is_over for stream in (first, *waiting))
            held.set()


def test_a_head_that_the_client_does_not_take_resets_its_stream() -> None:
    reply = Reply(headers=[("X-Long", "a" * 5000)])
    with (
        endpoint([reply, Reply()]) as upstream,
        gateway(configuration({"path": "/", "to": upstream.url})) as running,
        client(running) as connected,
    ):
        connected.machine.update_settings({6: 1000})
        connected.flush()
        assert connected.ask("/").reset == ErrorCodes.INTERNAL_ERROR
        assert connected.ask("/").status == 200
        assert running.log(1)[0]["error"] == "client_gone"
