# SPDX-License-Identifier: Apache-2.0
"""What the settings of the access log do to its lines."""

from __future__ import annotations

import json
import re
import socket
import time
from pathlib import Path

import pytest

from tests.integration.supervised import supervised
from tidegate.config.gateway_settings import AccessLog
from tidegate.testing import Message, Reply, endpoint, wait_until

from .kit import ask, shows, small

PATIENCE = 30.0
TEXT = """
gateway: { threads: 1, access_log: "LOG" }
listeners: { web: { address: 127.0.0.1, port: PORT } }
routes: [{ path: /, to: { respond: ok } }]
"""


def raw_lines(path: Path, count: int) -> list[str]:
    """The lines of a log in any form, once there are that many."""
    assert wait_until(lambda: path.exists() and path.read_text().count("\n") >= count, PATIENCE)
    return path.read_text().splitlines()


@shows("AccessLog.format")
def test_a_combined_log_is_what_web_servers_write() -> None:
    settings = "access_log: { path: x, format: combined }"
    with endpoint() as upstream, small(upstream, settings=settings) as running:
        ask(running, "/a?token=secret", headers=["Referer: http://r.test/", 'User-Agent: x" 200 1 "y'])
        line = raw_lines(running._way.log_file, 1)[0]
        pattern = (
            r"127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] "
            r'"GET /a\?token=\[redacted\] HTTP/1\.1" 200 \d+ "http://r\.test/" "x\\x22 200 1 \\x22y"'
        )
        assert re.fullmatch(pattern, line), line


@shows("AccessLog.one_in", "GatewaySettings.slow_request")
def test_a_sampled_log_keeps_every_failed_and_slow_request() -> None:
    settings = "access_log: { path: x, one_in: 1000000 }, slow_request: 300ms"

    def respond(request: Message) -> int:
        time.sleep(0.5 if request.target == "/slow" else 0)
        return 503 if request.target == "/failed" else 200

    with endpoint(respond=respond) as upstream, small(upstream, settings=settings) as running:
        for _ in range(20):
            ask(running, "/quick")
        ask(running, "/failed")
        ask(running, "/slow")
        paths = [entry["path"] for entry in running.log(2)]
        assert [path for path in paths if path != "/quick"] == ["/failed", "/slow"]
        assert len(paths) <= 3
        reply = running.call("slow")
        assert reply["limit_ms"] == 300
        [entry] = reply["entries"]
        timing = entry["timing"]
        assert entry["path"] == "/slow" and timing["endpoint_ms"] >= 300
        assert sum(timing.values()) == pytest.approx(entry["duration_ms"], abs=0.01)


def test_a_line_of_a_sampled_log_says_for_how_many_it_stands() -> None:
    with endpoint() as upstream, small(upstream, settings="access_log: { path: x, one_in: 2 }") as running:
        for _ in range(64):
            ask(running)
        entries = running.log(1)
        assert {entry["one_in"] for entry in entries} == {2}


@shows("AccessLog.response_fields", "AccessLog.constants", "Constant.name", "Constant.value")
def test_response_fields_and_constants_are_logged() -> None:
    settings = (
        "access_log: { path: x, response_fields: [x-cache, set-cookie],"
        " constants: [{ name: site, value: fra1 }] }"
    )
    reply = Reply(headers=[("X-Cache", "hit"), ("Set-Cookie", "id=secret")])
    with endpoint(respond=reply) as upstream, small(upstream, settings=settings) as running:
        ask(running)
        entry = running.log(1)[0]
        assert entry["response_fields"] == {"x-cache": "hit", "set-cookie": "[redacted]"}
        assert entry["constants"] == {"site": "fra1"}


def test_lines_go_to_the_journal_with_fields_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(path))
        journal.settimeout(PATIENCE)
        settings = f"access_log: {{ path: 'journald:{path}' }}"
        with endpoint() as upstream, small(upstream, settings=settings) as running:
            ask(running, "/a%0aPRIORITY=0")
            lines = journal.recv(1 << 16).decode().splitlines()
            fields = dict(line.split("=", 1) for line in lines)
            assert fields["PRIORITY"] == "6" and fields["TIDEGATE_ROUTE"] == "r"
            assert [line for line in lines if line.startswith("PRIORITY=")] == ["PRIORITY=6"]
            assert json.loads(fields["MESSAGE"])["request_id"] == fields["TIDEGATE_REQUEST_ID"]
            # The journal is restarted: the next lines find it again.
            journal.close()
            path.unlink()
            ask(running, "/lost")
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as again:
                assert wait_until(lambda: running.call("status")["log_dropped"] == 1, PATIENCE)
                again.bind(str(path))
                again.settimeout(PATIENCE)
                ask(running, "/found")
                assert b"TIDEGATE_PATH=/found\n" in again.recv(1 << 16)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"path": "x", "format": "combined", "one_in": 5}, "a combined line has no room for `one_in`"),
        ({"path": "x", "format": "combined", "fields": ["x-a"]}, "no room for `fields`"),
        ({"path": "journald:here"}, "write `journald`, or `journald:/path`"),
        ({"path": "x", "one_in": 0}, "greater than or equal to 1"),
        ({"path": "x", "format": "common"}, "known are `json`, `combined`"),
    ],
)
def test_what_cannot_be_logged_is_refused(setting: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        AccessLog.model_validate(setting)


def test_a_relative_path_starts_at_the_file_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "conf" / "logs").mkdir(parents=True)
    text = TEXT.replace("LOG", "logs/access.jsonl")
    with supervised(
        tmp_path, text, command=["run", "conf/gateway.yaml"], file="conf/gateway.yaml"
    ) as gateway:
        gateway.get("/here")
        [line] = raw_lines(tmp_path / "conf" / "logs" / "access.jsonl", 1)
        assert json.loads(line)["path"] == "/here"
        assert gateway.stop() == 0


@pytest.mark.parametrize("kind", ["file", "socket"])
def test_a_dash_is_standard_output_even_if_it_has_no_name(tmp_path: Path, kind: str) -> None:
    # A socket, as some supervisors hand over, can not be opened by its name in /dev.
    ours, theirs = socket.socketpair()
    output = open(tmp_path / "out", "w+b") if kind == "file" else theirs.makefile("wb")  # noqa: SIM115
    with ours, theirs, output, supervised(tmp_path, TEXT.replace("LOG", "-"), stdout=output) as gateway:
        gateway.get("/there")
        if kind == "file":
            [line] = raw_lines(tmp_path / "out", 1)
        else:
            ours.settimeout(PATIENCE)
            with ours.makefile("r") as lines:
                line = lines.readline()
        assert json.loads(line)["path"] == "/there"
        assert gateway.stop() == 0
