# SPDX-License-Identifier: Apache-2.0
"""ASGI applications through a real worker."""

from __future__ import annotations

import json

from tidegate.functions.conftest import CANCEL, STREAM, Start, eventually

APPLICATION = """
    import json

    async def f(scope, receive, send):
        if scope["type"] == "lifespan":
            assert (await receive())["type"] == "lifespan.startup"
            scope["state"]["opened"] = "yes"
            print("started")
            await send({"type": "lifespan.startup.complete"})
            assert (await receive())["type"] == "lifespan.shutdown"
            print("stopped")
            await send({"type": "lifespan.shutdown.complete"})
            return
        await ROUTES[scope["path"]](scope, receive, send)

    async def show(scope, receive, send):
        hidden = ("headers", "raw_path", "query_string")
        shown = {key: value for key, value in scope.items() if key not in hidden}
        shown["headers"] = [[name.decode(), value.decode()] for name, value in scope["headers"]]
        shown["raw_path"], shown["query_string"] = scope["raw_path"].decode(), scope["query_string"].decode()
        body = json.dumps(shown).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [
            (b"content-type", b"application/json"), (b"Content-Length", str(len(body)).encode()),
            (b"connection", b"close")]})
        await send({"type": "http.response.body", "body": body})
        assert (await receive())["type"] == "http.disconnect"

    async def count(scope, receive, send):
        total = 0
        while True:
            message = await receive()
            total += len(message["body"])
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": str(total).encode()})

    async def stream(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(20):
            await send({"type": "http.response.body", "body": b"x" * 50_000, "more_body": True})
            print("sent", number)
        await send({"type": "http.response.body", "body": b"end"})

    async def watch(scope, receive, send):
        await receive()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        try:
            print((await receive())["type"])
        finally:
            print("left")

    async def early(scope, receive, send):
        await send({"type": "http.response.start", "status": 500})
        raise RuntimeError("before the body")

    async def late(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("in the body")

    async def silent(scope, receive, send):
        pass

    ROUTES = {"/a b": show, "/count": count, "/stream": stream, "/watch": watch, "/early": early,
              "/late": late, "/silent": silent}
"""


def test_a_scope_tells_the_request(start: Start) -> None:
    node = start(APPLICATION, "asgi").node()
    head = node.ask("GET", "/a%20b", "x=1", [("X-A", "1")], parameters=[("id", "7")])
    body = node.next()
    assert (head.status, head.flag, body.flag) == (200, True, True)
    assert head.fields == [("content-type", "application/json"), ("Content-Length", str(len(body.body)))]
    assert json.loads(body.body) == {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1",
        "method": "GET", "scheme": "http", "path": "/a b", "raw_path": "/a%20b", "query_string": "x=1",
        "root_path": "", "headers": [["host", "shop.example:8080"], ["x-a", "1"]], "client": ["192.0.2.7", 0],
        "server": ["shop.example", 8080], "state": {"opened": "yes"},
        "extensions": {"tidegate": {"request_id": "req-1", "route": "shop", "parameters": {"id": "7"}}},
    }  # fmt: skip


def test_a_request_body_streams_with_credit_as_it_is_used(start: Start) -> None:
    node = start(APPLICATION, "asgi").node()
    number = node.begin("POST", "/count", body=STREAM)
    granted = 262_144
    for position in range(40):
        while granted < 25_000:
            granted += node.next().number
        granted -= 25_000
        node.body(number, b"x" * 25_000, is_last=position == 39)
    message = node.next()
    while message.kind == "credit":
        message = node.next()
    assert (message.kind, node.next().body) == ("respond", b"1000000")


def test_a_response_stops_when_its_window_is_used_up(start: Start) -> None:
    worker = start(APPLICATION, "asgi")
    node = worker.node()
    head = node.ask(path="/stream")
    received = 0
    while received < 262_144:
        received += len(node.next().body)
    node.ask(path="/count")
    assert received == 262_144
    # The piece that reached the window's end is still waited for.
    assert [line["message"] for line in worker.log()][-1] == "sent 4"
    node.next()
    node.credit(head.exchange, 1_000_000)
    while not (message := node.next()).flag:
        received += len(message.body)
    assert received + len(message.body) == 1_000_003


def test_a_client_that_leaves_is_told_as_disconnect(start: Start) -> None:
    worker = start(APPLICATION, "asgi")
    node = worker.node()
    number = node.begin(path="/watch")
    assert (node.next().kind, node.next().body) == ("respond", b"first")
    node.send(CANCEL, number)
    eventually(lambda: worker.log()[-1]["message"] == "left")


def test_an_application_that_fails_is_an_error_before_and_within_the_body(start: Start) -> None:
    node = start(APPLICATION, "asgi").node()
    assert node.ask(path="/early").reason == "exception"
    assert node.ask(path="/late").kind == "respond"
    assert (node.next().body, node.next().reason) == (b"half", "exception")
    assert node.ask(path="/silent").reason == "exception"


def test_lifespan_ends_with_the_worker(start: Start) -> None:
    worker = start(APPLICATION, "asgi")
    worker.terminate()
    assert worker.wait() == 0
    assert [line["message"] for line in worker.log()] == ["started", "stopped"]


def test_an_application_that_cannot_start_is_refused(start: Start) -> None:
    worker = start(
        """
        async def f(scope, receive, send):
            await receive()
            await send({"type": "lifespan.startup.failed", "message": "no database"})
        """,
        "asgi",
        is_ready=False,
    )
    assert worker.wait() == 3
    assert "start-up failed" in worker.ready["problem"]
