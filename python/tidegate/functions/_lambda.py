# SPDX-License-Identifier: Apache-2.0
"""Handlers with AWS Lambda's contract: `handler(event, context)`.

The event is API Gateway's payload of format 2.0 for HTTP APIs. `rawPath` is the canonical path, still
percent-encoded; `accountId` is zeros, `apiId` is `tidegate` and `stage` and `routeKey` are `$default`.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tidegate._engine import Request, Response
from tidegate.functions._settings import FunctionSettings

_TEXT_TYPES = ("json", "javascript", "xml", "x-www-form-urlencoded")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass
class Context:
    """What a handler gets as `context`."""

    aws_request_id: str
    function_name: str
    memory_limit_in_mb: str
    _request: Request = field(repr=False)
    function_version: str = "$LATEST"
    log_stream_name: str = "tidegate"
    identity: None = None
    client_context: None = None

    @property
    def invoked_function_arn(self) -> str:
        """A name in the form of AWS; nothing is behind it."""
        return f"arn:aws:lambda:local:000000000000:function:{self.function_name}"

    @property
    def log_group_name(self) -> str:
        """A name in the form of AWS; nothing is behind it."""
        return f"/aws/lambda/{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the gateway answers by itself."""
        return self._request.remaining_ms()


def wrap(handler: Callable[[Any, Any], Any], settings: FunctionSettings) -> Callable[[Request], Any]:
    """Makes a plain function of a handler; its result goes through `to_response`."""
    memory = str(settings.memory >> 20)

    def call(request: Request) -> Any:
        context = Context(request.id, settings.name, memory, request)
        return handler(event_of(request), context)

    return call


def event_of(request: Request) -> dict[str, Any]:
    """The event for a request. Parts that are absent are left out, as AWS does."""
    headers: dict[str, str] = dict(request.headers.items())
    cookies = [part.strip() for part in headers.pop("cookie", "").split(";") if part.strip()]
    headers.setdefault("host", request.host)
    headers.setdefault("x-forwarded-for", request.client)
    headers.setdefault("x-forwarded-proto", request.scheme)
    port = request.host.rpartition(":")[2] if request.host.rpartition("]")[2].count(":") else ""
    headers.setdefault("x-forwarded-port", port or ("443" if request.scheme == "https" else "80"))
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.path,
        "rawQueryString": str(request.query),
    }
    if cookies:
        event["cookies"] = cookies
    event["headers"] = headers
    parameters: dict[str, str] = {}
    for name, value in request.query.pairs():
        parameters[name] = f"{parameters[name]},{value}" if name in parameters else value
    if parameters:
        event["queryStringParameters"] = parameters
    if request.parameters:
        event["pathParameters"] = request.parameters
    event["requestContext"] = _context_of(request, headers)
    body = request.read()
    event["isBase64Encoded"] = False
    if body:
        event["body"], event["isBase64Encoded"] = _encode(body, headers.get("content-type", ""))
    return event


def _context_of(request: Request, headers: dict[str, str]) -> dict[str, Any]:
    now = datetime.now(UTC)
    host = request.host.rpartition(":")[0] if request.host.rpartition("]")[2].count(":") else request.host
    return {
        "accountId": "000000000000",
        "apiId": "tidegate",
        "domainName": host,
        "domainPrefix": host.partition(".")[0],
        "http": {
            "method": request.method,
            "path": request.path,
            "protocol": f"HTTP/{request.http_version}",
            "sourceIp": request.client,
            "userAgent": headers.get("user-agent", ""),
        },
        "requestId": request.id,
        "routeKey": "$default",
        "stage": "$default",
        # Not strftime: its month follows the locale.
        "time": f"{now:%d}/{_MONTHS[now.month - 1]}/{now:%Y:%H:%M:%S} +0000",
        "timeEpoch": int(now.timestamp() * 1000),
    }


def _encode(body: bytes, content_type: str) -> tuple[str, bool]:
    """The body as text when its type says text and it is UTF-8, else in base64."""
    family, _, kind = content_type.partition(";")[0].strip().lower().partition("/")
    is_application = family == "application" and (kind in _TEXT_TYPES or kind.endswith(("+json", "+xml")))
    if family == "text" or is_application:
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode(), True


def to_response(result: Any) -> Response:
    """The response for what a handler returned.

    Raises:
        TypeError: It has a `statusCode` and other parts that do not fit; it is not JSON.
        ValueError: A part has an impossible value.
    """
    if not isinstance(result, dict) or "statusCode" not in result:
        # AWS takes anything else that is JSON as the body of a 200.
        if isinstance(result, str):
            return Response(result, media_type="application/json")
        return Response.json(result)
    status = result["statusCode"]
    if isinstance(status, str) and status.isascii() and status.isdigit():
        status = int(status)
    if not isinstance(status, int) or isinstance(status, bool):
        raise TypeError(f"statusCode is a number, not {status!r}")
    body = result.get("body")
    if body is None:
        body = ""
    if not isinstance(body, str):
        raise TypeError(f"body is text, not {type(body).__name__}; json.dumps() makes text of other values")
    data = body.encode()
    if result.get("isBase64Encoded"):
        try:
            data = base64.b64decode(body, validate=True)
        except binascii.Error as error:
            raise ValueError(f"isBase64Encoded is set and body is not base64: {error}") from None
    response = Response(data, status=status, headers=_headers(result))
    if data and "content-type" not in response.headers:
        response.headers["content-type"] = "text/plain;charset=UTF-8"
    return response


def _headers(result: dict[str, Any]) -> list[tuple[str, str]]:
    headers = {} if result.get("headers") is None else result["headers"]
    cookies = [] if result.get("cookies") is None else result["cookies"]
    if not isinstance(headers, dict) or not isinstance(cookies, list):
        raise TypeError("headers is an object and cookies a list")
    pairs: list[tuple[str, str]] = []
    for name, value in headers.items():
        if isinstance(value, bool):
            value = json.dumps(value)
        if not isinstance(value, (str, int, float)):
            raise TypeError(f"the header {name} is text, not {type(value).__name__}")
        pairs.append((str(name), str(value)))
    return pairs + [("set-cookie", str(cookie)) for cookie in cookies]
