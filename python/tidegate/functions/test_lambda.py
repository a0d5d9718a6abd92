# SPDX-License-Identifier: Apache-2.0
"""Handlers with AWS Lambda's contract. Shapes: API Gateway's payload of format 2.0."""

from __future__ import annotations

import base64
import json

import pytest

from tidegate.functions.conftest import Message, Start

ECHO = """
    def f(event, context):
        return {"statusCode": 201, "headers": {"x-id": context.aws_request_id, "x-left":
                str(0 < context.get_remaining_time_in_millis() <= 10_000)}, "cookies": ["a=1; Path=/", "b=2"],
                "body": __import__("json").dumps([event, context.function_name, context.memory_limit_in_mb])}
"""


def test_an_event_has_the_form_of_payload_2_0(start: Start) -> None:
    node = start(ECHO, "lambda", memory=128 << 20).node()
    answer = node.ask(
        "POST", "/users/7%20a", "a=1&a=2&b=%26",
        [("Content-Type", "application/json"), ("Cookie", "k=v; l=w"), ("X-A", "1"), ("x-a", "2"),
         ("User-Agent", "test")],
        body=b'{"n": 1}', parameters=[("id", "7%20a")],
    )  # fmt: skip
    assert answer.status == 201
    assert answer.fields == [
        ("x-id", "req-1"), ("x-left", "True"), ("set-cookie", "a=1; Path=/"), ("set-cookie", "b=2"),
        ("content-type", "text/plain;charset=UTF-8"),
    ]  # fmt: skip
    event, name, memory = json.loads(answer.body)
    assert (name, memory) == ("f", "128")
    context = event["requestContext"]
    assert abs(context.pop("timeEpoch") / 1000 - __import__("time").time()) < 60
    assert context.pop("time").endswith("+0000")
    assert event == {
        "version": "2.0", "routeKey": "$default", "rawPath": "/users/7%20a",
        "rawQueryString": "a=1&a=2&b=%26",
        "cookies": ["k=v", "l=w"],
        "headers": {
            "content-type": "application/json", "x-a": "1, 2", "user-agent": "test",
            "host": "shop.example:8080", "x-forwarded-for": "192.0.2.7", "x-forwarded-proto": "http",
            "x-forwarded-port": "8080",
        },
        "queryStringParameters": {"a": "1,2", "b": "&"}, "pathParameters": {"id": "7 a"},
        "requestContext": {
            "accountId": "000000000000", "apiId": "tidegate", "domainName": "shop.example",
            "domainPrefix": "shop",
            "http": {"method": "POST", "path": "/users/7%20a", "protocol": "HTTP/1.1",
                     "sourceIp": "192.0.2.7", "userAgent": "test"},
            "requestId": "req-1", "routeKey": "$default", "stage": "$default",
        },
        "body": '{"n": 1}', "isBase64Encoded": False,
    }  # fmt: skip


def test_what_is_absent_is_left_out_and_binary_is_base64(start: Start) -> None:
    node = start(ECHO, "lambda").node()
    event = json.loads(node.ask().body)[0]
    assert not {"cookies", "queryStringParameters", "pathParameters", "body"} & event.keys()
    event = json.loads(node.ask("POST", body=b"\xff\x00").body)[0]
    assert (event["isBase64Encoded"], base64.b64decode(event["body"])) == (True, b"\xff\x00")


def returned(start: Start, result: str) -> Message:
    return start(f"def f(event, context):\n    return {result}", "lambda").node().ask()


def test_json_without_a_status_is_the_whole_body(start: Start) -> None:
    answer = returned(start, "{'hello': 1}")
    assert (answer.status, json.loads(answer.body)) == (200, {"hello": 1})
    assert answer.fields == [("content-type", "application/json")]
    answer = returned(start, "'bare'")
    assert (answer.body, answer.fields) == (b"bare", [("content-type", "application/json")])


def test_base64_bodies_are_decoded(start: Start) -> None:
    answer = returned(
        start, "{'statusCode': '200', 'body': 'AAEC', 'isBase64Encoded': True, 'headers': {'n': 5}}"
    )
    assert (answer.status, answer.body, answer.fields[0]) == (200, b"\0\1\2", ("n", "5"))


@pytest.mark.parametrize(
    "result",
    [
        "{'statusCode': 'many'}", "{'statusCode': 99}", "{'statusCode': 200, 'body': {'a': 1}}",
        "{'statusCode': 200, 'body': '*', 'isBase64Encoded': True}", "{'statusCode': 200, 'headers': []}",
        "{'statusCode': 200, 'headers': {'a': 'b\\r\\nc: d'}}", "object()",
    ],
)  # fmt: skip
def test_a_malformed_result_is_an_error(start: Start, result: str) -> None:
    assert returned(start, result).reason == "bad_answer"


def test_one_event_at_a_time(start: Start) -> None:
    worker = start(
        """
        import time
        running = 0
        def f(event, context):
            global running
            running += 1
            most = running
            time.sleep(0.002)
            running -= 1
            return most
        """,
        "lambda",
        concurrency=1,
    )
    node = worker.node()
    node.socket.sendall(b"".join(node.head()[1] for _ in range(20)))
    assert {node.next().body for _ in range(20)} == {b"1"}
