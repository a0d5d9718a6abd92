# SPDX-License-Identifier: Apache-2.0
"""The whole shop in one process: what one puts behind a load balancer alone."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from shop import cart, order, payment, user, web
from shop.asgi import Receive, Send, Service

PARTS = {
    "users": user.app,
    "orders": order.app,
    "payments": payment.app,
    "cart": cart.app,
    "control": payment.app,
}


def _part(path: str) -> Service:
    return PARTS.get(path.split("/")[1], web.app)


async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """Hands the request to the part that its first segment names, else to the page."""
    await _part(scope["path"])(scope, receive, send)
