# SPDX-License-Identifier: Apache-2.0
"""Policies and functions, there and back through a real worker."""

from __future__ import annotations

import json

from tidegate.functions.conftest import CANCEL, ON_DEMAND, STREAM, WITHHELD, Start

POLICY = """
    from tidegate import policy, Request, Response

    @policy
    async def f(request: Request):
        if request.headers.get("x-partner") not in ("acme", "globex"):
            return Response.problem(403, "this API is for partners")
        request.headers["x-tier"] = "gold"
        del request.headers["x-partner"]
        if request.query.get("old"):
            request.path = "/new"
"""

AROUND = """
    from tidegate import policy, Request, Response

    @policy
    async def f(request: Request, call_next):
        request.headers["x-tier"] = "gold"
        response = await call_next(request)
        if response.headers.get("x-secret"):
            return Response("replaced", status=502)
        if "x-drop" in response.headers:
            response.status = 404
            del response.headers["x-drop"]
        response.headers["x-served-by"] = "shop"
        response.headers.append("x-route", request.route)
        return response
"""


def test_a_policy_lets_a_request_pass_with_its_changes_in_order(start: Start) -> None:
    node = start(POLICY, "policy").node()
    answer = node.ask(query="old=1", headers=[("X-Partner", "acme"), ("Accept", "*/*")])
    assert (answer.kind, answer.flag) == ("continue", False)
    assert answer.changes == [("path", "/new"), ("set", "x-tier", "gold"), ("remove", "x-partner")]


def test_a_policy_answers_itself_with_problem_details(start: Start) -> None:
    answer = start(POLICY, "policy").node().ask()
    assert (answer.kind, answer.status) == ("respond", 403)
    assert answer.fields == [("content-type", "application/problem+json")]
    assert json.loads(answer.body) == {
        "type": "about:blank", "title": "Forbidden", "status": 403, "detail": "this API is for partners",
    }  # fmt: skip


def test_a_policy_changes_the_response_that_call_next_brings(start: Start) -> None:
    node = start(AROUND, "policy").node()
    passed = node.ask()
    assert (passed.kind, passed.flag, passed.changes) == ("continue", True, [("set", "x-tier", "gold")])
    node.respond(passed.exchange, 200, [("X-Drop", "1"), ("server", "x")])
    changed = node.next()
    assert changed.kind == "changes"
    assert changed.changes == [
        ("status", 404), ("remove", "x-drop"), ("set", "x-served-by", "shop"), ("append", "x-route", "shop"),
    ]  # fmt: skip


def test_a_policy_replaces_the_response_that_call_next_brings(start: Start) -> None:
    node = start(AROUND, "policy").node()
    passed = node.ask()
    node.respond(passed.exchange, 200, [("x-secret", "1")])
    answer = node.next()
    assert (answer.kind, answer.status, answer.body) == ("respond", 502, b"replaced")


def test_many_policies_wait_for_their_responses_at_the_same_time(start: Start) -> None:
    node = start(AROUND, "policy").node()
    data = b""
    for _ in range(40):
        data += node.head()[1]
    node.socket.sendall(data)
    numbers = [node.next().exchange for _ in range(40)]
    for number in reversed(numbers):
        node.respond(number, 200)
    assert [node.next().exchange for _ in range(40)] == list(reversed(numbers))


def test_a_plain_policy_runs_on_a_thread(start: Start) -> None:
    node = start(
        """
        import threading
        from tidegate import policy, Response

        @policy
        def f(request):
            if threading.current_thread() is threading.main_thread():
                return Response("main", status=500)
            request.headers["x-body"] = request.read().decode()
        """,
        "policy",
    ).node()
    assert node.ask(body=b"inline").changes == [("set", "x-body", "inline")]
    wanted = node.ask(body=ON_DEMAND)
    assert wanted.kind == "body_wanted"
    node.body(wanted.exchange, b"on ", is_last=False)
    credit = node.next()
    assert (credit.kind, credit.number) == ("credit", 3)
    node.body(wanted.exchange, b"demand", is_last=True)
    assert node.next().changes == [("set", "x-body", "on demand")]


def test_a_request_shows_every_part(start: Start) -> None:
    node = start(
        """
        async def f(request):
            request.state.seen = 1
            return {
                "method": request.method, "url": request.url, "path": request.path, "scheme": request.scheme,
                "host": request.host, "query": dict(request.query), "all": request.query.get_all("a"),
                "raw": str(request.query), "cookies": request.cookies, "client": request.client,
                "route": request.route, "parameters": request.parameters, "id": request.id,
                "headers": dict(request.headers), "fields": request.headers.fields(),
                "accept": request.headers["ACCEPT"], "missing": request.headers.get("nope", "no"),
                "body": await request.json(), "again": (await request.body()).decode(),
                "state": vars(request.state), "version": request.http_version,
                "in": ["accept" in request.headers, 7 in request.headers], "function": request.function,
            }
        """
    ).node()
    answer = node.ask(
        "POST", "/users/a%2Fb", "a=1&b=%20x&a=2",
        [("Accept", "text/html"), ("accept", "*/*"), ("Cookie", 'a=1; b="2"'), ("cookie", "a=3")],
        body=b'{"n":[1]}', parameters=[("id", "a%2Fb")], http_1_0=True,
    )  # fmt: skip
    assert answer.fields == [("content-type", "application/json")]
    assert json.loads(answer.body) == {
        "method": "POST", "url": "http://shop.example:8080/users/a%2Fb?a=1&b=%20x&a=2",
        "path": "/users/a%2Fb", "scheme": "http", "host": "shop.example:8080", "query": {"a": "1", "b": " x"},
        "all": ["1", "2"],
        "raw": "a=1&b=%20x&a=2", "cookies": {"a": "1", "b": "2"}, "client": "192.0.2.7", "route": "shop",
        "parameters": {"id": "a/b"}, "id": "req-1",
        "headers": {"accept": "text/html, */*", "cookie": 'a=1; b="2"; a=3'},
        "fields": [["Accept", "text/html"], ["accept", "*/*"], ["Cookie", 'a=1; b="2"'], ["cookie", "a=3"]],
        "accept": "text/html, */*", "missing": "no", "body": {"n": [1]}, "again": '{"n":[1]}',
        "state": {"seen": 1}, "version": "1.0", "in": [True, False], "function": "f",
    }  # fmt: skip


def test_what_a_function_returns_becomes_a_response(start: Start) -> None:
    node = start(
        """
        import json
        def f(request):
            return json.loads(request.read())["value"] if request.method == "POST" else {
                "text": "hé", "bytes": b"\\x00", "none": None,
            }[str(request.query)]
        """
    ).node()
    text = node.ask(query="text")
    assert (text.status, text.body) == (200, "hé".encode())
    assert text.fields == [("content-type", "text/plain; charset=utf-8")]
    assert (node.ask(query="bytes").body, node.ask(query="none").status) == (b"\0", 204)
    for value in ({"a": 1}, [1], 5, True):
        assert json.loads(node.ask("POST", body=json.dumps({"value": value}).encode()).body) == value


def test_a_large_answer_waits_for_credit(start: Start) -> None:
    node = start('def f(request):\n    return b"x" * 1_000_000').node()
    head = node.ask()
    assert (head.flag, head.fields, len(head.body)) == (True, [("content-length", "1000000")], 65536)
    received = len(head.body)
    while received < 262_144:
        received += len(node.next().body)
    assert received == 262_144
    while True:
        node.credit(head.exchange, 100_000)
        missing = min(100_000, 1_000_000 - received)
        while missing:
            message = node.next()
            received += len(message.body)
            missing -= len(message.body)
        if message.flag:
            break
    assert received == 1_000_000


def test_a_large_body_is_collected_with_credit_and_above_the_limit_refused(start: Start) -> None:
    node = start("async def f(request):\n    return str(len(await request.body()))", max_body=300_000).node()
    for size, kind in ((300_000, "respond"), (300_001, "error")):
        number = node.begin(body=STREAM)
        for start_at in range(0, size, 50_000):
            piece = b"x" * min(50_000, size - start_at)
            node.body(number, piece, is_last=start_at + 50_000 >= size)
        message = node.next()
        while message.kind == "credit":
            message = node.next()
        assert message.kind == kind
        assert message.body == b"300000" if kind == "respond" else message.reason == "body_size"


def test_a_policy_that_is_not_handed_the_body_is_told_so(start: Start) -> None:
    worker = start("async def f(request):\n    return await request.body()")
    assert worker.node().ask(body=WITHHELD).reason == "exception"
    assert "not handed the body" in worker.log()[0]["message"]


def test_several_functions_share_a_process(start: Start) -> None:
    functions = [
        {"name": "one", "handler": "shop_code:one", "kind": "function"},
        {"name": "two", "handler": "shop_code:two", "kind": "policy"},
    ]
    worker = start(
        """
        from tidegate import policy
        def one(request):
            return "one"
        @policy
        async def two(request):
            pass
        """,
        functions=functions,
    )
    node = worker.node()
    assert node.ask(function="one").body == b"one"
    assert node.ask(function="two").kind == "continue"
    assert node.ask(function="three").reason == "exception"
    assert "'three'" in worker.log()[-1]["message"] or '"three"' in worker.log()[-1]["message"]


def test_header_injection_and_framing_are_refused(start: Start) -> None:
    node = start(
        """
        from tidegate import Response
        def attempt(call):
            try:
                call()
            except ValueError as error:
                return str(error)
            return "taken"
        async def f(request):
            h = request.headers
            put = h.__setitem__
            return [
                attempt(lambda: put("x", "a\\r\\nb: c")), attempt(lambda: put("x y", "a")),
                attempt(lambda: h.append("Content-Length", "1")), attempt(lambda: put("host", "evil")),
                attempt(lambda: put("x", "\\u20ac")), attempt(lambda: Response(headers={"a": "\\n"})),
                attempt(lambda: Response(status=99)), attempt(lambda: setattr(request, "path", "/a b")),
                attempt(lambda: Response(headers={"a\\n": "b"})), attempt(lambda: put("x", "fine")),
            ]
        """
    ).node()
    answers = json.loads(node.ask().body)
    assert answers[-1] == "taken"
    assert "taken" not in answers[:-1]


def test_context_variables_of_one_request_do_not_reach_the_next(start: Start) -> None:
    node = start(
        """
        import contextvars
        user = contextvars.ContextVar("user", default="nobody")
        async def f(request):
            before = user.get()
            user.set(request.id)
            return before
        """
    ).node()
    assert [node.ask().body for _ in range(3)] == [b"nobody"] * 3


def test_code_that_waits_keeps_its_task_and_its_context(start: Start) -> None:
    node = start(
        """
        import asyncio, contextvars
        user = contextvars.ContextVar("user")
        async def f(request):
            user.set(request.id)
            before = asyncio.current_task()
            async with asyncio.timeout(5):
                await asyncio.sleep(0)
                await asyncio.sleep(0.001)
            async with asyncio.TaskGroup() as group:
                child = group.create_task(asyncio.sleep(0, user.get()))
            try:
                async with asyncio.timeout(0.001):
                    await asyncio.sleep(60)
            except TimeoutError:
                pass
            return [before is asyncio.current_task(), user.get() == request.id, child.result()]
        """
    ).node()
    numbers = [node.begin() for _ in range(5)]
    answers = {message.exchange: json.loads(message.body) for message in (node.next() for _ in numbers)}
    assert answers == {number: [True, True, f"req-{number}"] for number in numbers}


def test_a_cancelled_request_is_cancelled_where_it_waits(start: Start) -> None:
    worker = start(
        """
        import asyncio
        async def f(request):
            if request.path == "/quick":
                return "quick"
            try:
                print("waiting")
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                print("cancelled")
                raise
        """
    )
    node = worker.node()
    number = node.begin()
    assert node.ask(path="/quick").body == b"quick"
    node.send(CANCEL, number)
    for _ in range(3):
        assert node.ask(path="/quick").body == b"quick"
    assert [line["message"] for line in worker.log()] == ["waiting", "cancelled"]
    # Cancelled in the read that brought it: it never begins.
    number, data = node.head()
    node.socket.sendall(data + b"\0\0\0\x05\x03" + number.to_bytes(4, "big"))
    assert node.ask(path="/quick").body == b"quick"
    assert len(worker.log()) == 2


def test_code_that_cancels_itself_does_not_harm_the_next_request(start: Start) -> None:
    node = start(
        """
        import asyncio
        async def f(request):
            if request.path == "/cancel":
                asyncio.current_task().cancel()
            if request.path != "/plain":
                await asyncio.sleep(0)
            return "done"
        """
    ).node()
    for _ in range(3):
        assert node.ask(path="/cancel").reason == "cancelled"
        assert node.ask(path="/plain").body == b"done"
        assert node.ask(path="/wait").body == b"done"
