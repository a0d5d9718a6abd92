# SPDX-License-Identifier: Apache-2.0
"""The shop's Python on the gateway: a policy, and a function with AWS Lambda's contract."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

from shop import user as users
from tidegate import Request, Response, policy

PARTNERS = {"harbour-42": "gold", "pier-7": "silver"}
"""Who may see partner prices, and their tier."""


@policy
async def partners_only(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Lets partners through and tells the service their tier; everybody else gets a 403."""
    tier = PARTNERS.get(request.headers.get("x-partner", ""))
    if tier is None:
        return Response.problem(403, "these prices are for partners")
    request.headers["x-tier"] = tier
    response = await call_next(request)
    response.headers["x-partner-tier"] = tier
    return response


def user(event: dict[str, Any], context: object) -> dict[str, Any]:
    """GET shows a user, POST changes the name: the user service again, without a server."""
    identifier = event["pathParameters"]["id"]
    if event["requestContext"]["http"]["method"] == "POST":
        name = dict(parse_qsl(event.get("body") or "")).get("name", "").strip()
        if not 1 <= len(name) <= 80:
            return _answer(400, {"detail": "the name must have 1 to 80 characters"})
        by = users.app.settings.instance
        row = users.store.run_now(lambda rows: users.update(rows, identifier, name, by))
        if row is not None and "text/html" in event["headers"].get("accept", ""):
            return {"statusCode": 303, "headers": {"location": "/?done=profile#profile"}}
    else:
        row = users.store.run_now(lambda rows: users.find(rows, identifier))
    if row is None:
        return _answer(404, {"detail": "no such user"})
    served_by = {**users.app.served_by, "via": event["headers"].get("via", "")}
    return _answer(200, {"user": row, "served_by": served_by})


def _answer(status: int, value: object) -> dict[str, Any]:
    settings = users.app.settings
    headers = {"content-type": "application/json", "x-served-by": settings.instance, "x-zone": settings.zone}
    return {"statusCode": status, "headers": headers, "body": json.dumps(value) + "\n"}
