# SPDX-License-Identifier: Apache-2.0
"""Policies and functions behind a real gateway: all processes, as `tidegate run` starts them."""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import os
import signal
import socket
import struct
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from tidegate.config.problem import ConfigError
from tidegate.testing import FakeEndpoint, RunningGateway, endpoint, gateway, wait_until

CODE = """
    import asyncio, json, os, time
    from tidegate import policy, Request, Response

    @policy
    async def partners_only(request, call_next):
        if request.headers.get("x-partner") != "acme":
            return Response.problem(403, "this API is for partners")
        request.headers["x-tier"] = "gold"
        del request.headers["x-partner"]
        print("passing")
        response = await call_next(request)
        response.headers["x-served-by"] = "shop"
        response.headers.pop("x-secret", None)
        if response.status == 418:
            response.status = 503
        return response

    @policy
    def reads_body(request):
        request.headers["x-length"] = str(len(request.read()))

    @policy
    async def moves(request):
        request.path = "/moved" + request.path

    async def hello(request):
        return {"path": request.path, "id": request.id, "route": request.route,
                "body": len(await request.body()), "parameters": request.parameters,
                "fields": dict(request.headers)}

    def lam(event, context):
        return {"statusCode": 201, "body": json.dumps(event), "cookies": ["a=1", "b=2"]}

    async def app(scope, receive, send):
        if scope["type"] != "http":
            return
        total, more = 0, True
        while more:
            message = await receive()
            total, more = total + len(message["body"]), message["more_body"]
        headers = [(b"x-total", str(total).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for _ in range(100):
            await send({"type": "http.response.body", "body": b"x" * 30_000, "more_body": True})
        if scope["path"] == "/app/broken":
            raise RuntimeError("in the middle")
        await send({"type": "http.response.body", "body": b"end"})

    async def stays(request):
        print("begun")
        try:
            await asyncio.sleep(3600)
        finally:
            print("nobody waits")

    kept = []
    async def bad(request):
        match request.path.removeprefix("/bad/"):
            case "loop":
                while True:
                    pass
            case "block":
                time.sleep(3600)
            case "wait":
                await asyncio.sleep(3600)
            case "crash":
                os._exit(1)
            case "leak":
                kept.append(bytearray(64 << 20))
            case "raise":
                raise ValueError("secret text")
        return str(os.getpid())
"""
CONFIGURATION = """
listeners: { web: { port: 8080 } }
functions:
  partners_only: { handler: "live_code:partners_only", kind: policy, path: FOLDER, deadline: 5s }
  reads_body: { handler: "live_code:reads_body", kind: policy, path: FOLDER, pool: bodies, deadline: 5s }
  moves: { handler: "live_code:moves", kind: policy, path: FOLDER, pool: bodies, deadline: 5s }
  hello: { handler: "live_code:hello", path: FOLDER }
  lam: { handler: "live_code:lam", kind: lambda, path: FOLDER }
  stays: { handler: "live_code:stays", path: FOLDER, deadline: 1h }
  app: { handler: "live_code:app", kind: asgi, path: FOLDER, max_body: 64MiB }
  bad: { handler: "live_code:bad", path: FOLDER, deadline: 500ms, memory: 256MiB }
routes:
  - { path: /partners, policies: [{ type: python, function: partners_only }], to: "http://ENDPOINT" }
  - { path: /fixed, policies: [{ type: python, function: partners_only }], to: { respond: fixed } }
  - { path: /body, policies: [{ type: python, function: reads_body, body: 100KiB }], to: "http://ENDPOINT" }
  - { path: /old, policies: [{ type: python, function: moves }], to: "http://ENDPOINT" }
  - { name: hello, path: "/hello/{name}", to: { function: hello } }
  - { path: /lam, to: { function: lam } }
  - { path: /app, to: { function: app } }
  - { path: /stays, to: { function: stays } }
  - { path: /bad, to: { function: bad } }
"""


class Client:
    """One connection that is kept."""

    def __init__(self, running: RunningGateway) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def ask(
        self, path: str, body: bytes | Iterator[bytes] | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, fields with names in lower case, body."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request("GET" if body is None else "POST", path, body, names)
        response = self.connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()


@pytest.fixture(scope="module")
def origin() -> Iterator[FakeEndpoint]:
    with endpoint() as origin:
        yield origin


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, origin: FakeEndpoint) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("code")
    (folder / "live_code.py").write_text(textwrap.dedent(CODE))
    text = CONFIGURATION.replace("FOLDER", str(folder)).replace("ENDPOINT", origin.address)
    with pytest.MonkeyPatch.context() as patch:
        if os.geteuid() == 0:
            # The interpreter and the test's folder may be closed to others.
            patch.setenv("TIDEGATE_USER", "root")
        with gateway(text, processes=True, timeout=30) as running:
            yield running


@pytest.fixture
def client(running: RunningGateway) -> Iterator[Client]:
    client = Client(running)
    yield client
    client.connection.close()


def lines(running: RunningGateway) -> list[dict[str, Any]]:
    found = []
    for line in running.output().splitlines():
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return [line for line in found if line.get("process") == "worker"]


def logged(running: RunningGateway) -> list[tuple[str, str]]:
    """Identifier and path of what is in the access log."""
    return [(entry["request_id"], entry["path"]) for entry in running.log()]


def test_a_policy_answers_or_changes_request_and_response(client: Client, origin: FakeEndpoint) -> None:
    status, fields, body = client.ask("/partners/x")
    assert (status, fields["content-type"]) == (403, "application/problem+json")
    assert json.loads(body)["detail"] == "this API is for partners"
    before = len(origin.messages)
    status, fields, _ = client.ask("/partners/x", x_partner="acme")
    assert (status, fields.get("x-served-by")) == (200, "shop")
    (seen,) = origin.messages[before:]
    assert (seen.get("x-tier"), seen.get("x-partner")) == ("gold", None)
    assert client.ask("/fixed", x_partner="acme")[1]["x-served-by"] == "shop"


def test_a_policy_may_move_a_request_and_see_its_body(client: Client, origin: FakeEndpoint) -> None:
    assert client.ask("/old/thing")[0] == 200
    assert origin.messages[-1].target == "/moved/old/thing"
    for length in (0, 10, 100_000):
        assert client.ask("/body", b"x" * length)[0] == 200
        assert origin.messages[-1].get("x-length") == str(length)
        assert len(origin.messages[-1].body) == length
    assert client.ask("/body", b"x" * 102_401)[0] == 413


def test_a_function_sees_what_an_endpoint_would(client: Client) -> None:
    status, fields, body = client.ask("/hello/a%20b", b"x" * 200_000, x_forwarded_for="10.9.8.7")
    answer = json.loads(body)
    assert (status, fields["via"], answer["path"], answer["body"]) == (
        200,
        "1.1 tidegate",
        "/hello/a%20b",
        200_000,
    )
    assert (answer["parameters"], answer["route"]) == ({"name": "a b"}, "hello")
    # What an untrusted client says of itself is replaced.
    assert answer["fields"]["x-forwarded-for"] == "127.0.0.1"
    assert answer["fields"]["x-request-id"] == answer["id"]


def test_a_lambda_handler_answers(client: Client) -> None:
    client.connection.request("GET", "/lam?a=1", headers={"cookie": "k=v"})
    response = client.connection.getresponse()
    event = json.loads(response.read())
    assert (response.status, event["rawQueryString"], event["cookies"]) == (201, "a=1", ["k=v"])
    assert response.headers.get_all("set-cookie") == ["a=1", "b=2"]


def test_an_asgi_application_streams_both_ways(client: Client) -> None:
    pieces = (b"y" * 50_000 for _ in range(60))
    status, fields, body = client.ask("/app", pieces)
    assert (status, fields["x-total"], len(body), body[-3:]) == (200, "3000000", 3_000_003, b"end")
    # The connection is still in step.
    assert client.ask("/hello/x")[0] == 200
    # A reset: an end could pass for the end of the body.
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        client.ask("/app/broken")


def test_a_failure_says_nothing_of_the_code_and_the_log_everything(
    client: Client, running: RunningGateway
) -> None:
    status, _, body = client.ask("/bad/raise")
    assert (status, body) == (502, b"502 Bad Gateway\n")
    wait_until(lambda: any("secret text" in str(line.get("traceback")) for line in lines(running)))
    line = next(line for line in lines(running) if "secret text" in str(line.get("traceback")))
    assert line["function"] == "bad"
    assert wait_until(lambda: (line["request"], "/bad/raise") in logged(running))


def test_what_is_printed_names_the_request(client: Client, running: RunningGateway) -> None:
    client.ask("/fixed", x_partner="acme")
    wait_until(lambda: any(line["message"] == "passing" for line in lines(running)))
    line = next(line for line in lines(running) if line["message"] == "passing")
    assert line["function"] == "partners_only"
    assert wait_until(lambda: line["request"] in dict(logged(running)))


def test_a_call_is_cancelled_when_its_client_resets(running: RunningGateway) -> None:
    def said() -> list[str]:
        return [line["message"] for line in lines(running) if line.get("function") == "stays"]

    with socket.create_connection(("127.0.0.1", running.port)) as client:
        client.sendall(b"GET /stays HTTP/1.1\r\nHost: a.test\r\n\r\n")
        assert wait_until(lambda: said() == ["begun"], 20)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert wait_until(lambda: said() == ["begun", "nobody waits"], 20)
    entries = [("client_gone", 499)]
    assert wait_until(
        lambda: [(e["error"], e["status"]) for e in running.log() if e["path"] == "/stays"] == entries
    )


@pytest.mark.parametrize(
    ("what", "status"), [("loop", 504), ("block", 504), ("wait", 504), ("crash", 502), ("leak", 502)]
)
def test_bad_code_costs_its_own_route_only(running: RunningGateway, what: str, status: int) -> None:
    stop, answers = threading.Event(), list[int]()

    def others() -> None:
        with Client(running) as client:
            while not stop.is_set():
                answers.append(client.ask("/hello/x")[0])

    thread = threading.Thread(target=others)
    thread.start()
    try:
        with Client(running) as client:
            assert wait_until(lambda: answers, 20)
            before = len(answers)
            answer = client.ask(f"/bad/{what}")[0]
            meanwhile = len(answers) - before
            while what == "leak" and answer == 200:
                answer = client.ask(f"/bad/{what}")[0]
            assert answer == status
            # Its own route comes back by itself.
            assert wait_until(lambda: client.ask("/bad/fine")[0] == 200, 20)
    finally:
        stop.set()
        thread.join()
    assert set(answers) == {200}
    # Held up by the bad call, one of them would have waited for its end.
    assert meanwhile > 2 or status != 504


def is_last(seen: list[tuple[int, bytes]], body: bytes) -> bool:
    return seen[-1] == (200, body)


def test_new_code_is_taken_up_without_losing_a_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() == 0:
        monkeypatch.setenv("TIDEGATE_USER", "root")
    code = tmp_path / "shop_code.py"
    text = f"""
listeners: {{ web: {{ port: 8080 }} }}
functions: {{ f: {{ handler: "shop_code:f", path: {tmp_path}, deadline: 10s }} }}
routes: [{{ path: /, to: {{ function: f }} }}]
"""

    def write(version: int) -> None:
        code.write_text(f"async def f(request):\n    return 'version {version}'\n")

    write(0)
    with gateway(text, processes=True, timeout=30) as running:
        seen, stop = list[tuple[int, bytes]](), threading.Event()

        def ask() -> None:
            with Client(running) as client:
                while not stop.is_set():
                    status, _, body = client.ask("/")
                    seen.append((status, body))

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for version in range(1, 4):
                write(version)
                running.reload(text)
                wanted = f"version {version}".encode()
                assert wait_until(functools.partial(is_last, seen, wanted), 20)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        code.write_text("def f(:")
        with pytest.raises(ConfigError, match="importing shop_code failed"):
            running.reload(text)
        with Client(running) as client:
            assert client.ask("/")[2] == b"version 3"
    assert {status for status, _ in seen} == {200}


def test_a_worker_that_is_killed_is_replaced(running: RunningGateway, client: Client) -> None:
    before = int(client.ask("/bad/fine")[2])
    os.kill(before, signal.SIGTERM)
    seen: set[int] = set()
    end = time.monotonic() + 20
    while seen <= {before}:
        status, _, body = client.ask("/bad/fine")
        # While nobody serves, a request waits; past its deadline or its patience it is told so.
        assert status in (200, 503, 504)
        if status == 200:
            seen.add(int(body))
        assert time.monotonic() < end
