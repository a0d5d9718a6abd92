# SPDX-License-Identifier: Apache-2.0
"""The order service: takes the cart's things, has them paid and remembers it."""

from __future__ import annotations

import sqlite3

from shop.asgi import Request, Response, Service
from shop.outside import AskError, ask
from shop.store import Store

SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
    id INTEGER PRIMARY KEY,
    user TEXT NOT NULL,
    things TEXT NOT NULL,
    cents INTEGER NOT NULL,
    payment INTEGER NOT NULL
);
"""

app = Service("order")
store = Store(app.settings.data / "order.sqlite", SCHEMA)


def of_user(connection: sqlite3.Connection, user: str) -> list[dict[str, object]]:
    """The user's orders, the newest first, at most ten."""
    rows = connection.execute("SELECT * FROM orders WHERE user = ? ORDER BY id DESC LIMIT 10", (user,))
    return [dict(row) for row in rows]


@app.route("GET", "/orders")
async def show(request: Request) -> Response:
    """The orders of `?user=`."""
    orders = await store.run(lambda rows: of_user(rows, request.query.get("user", "")))
    served_by = {**app.served_by, "via": request.fields.get("via", "")}
    return Response.json({"orders": orders, "served_by": served_by})


@app.route("POST", "/orders")
async def place(request: Request) -> Response:
    """Orders all that is in the cart of `user`: cart and payment are asked through the gateway."""
    user = request.values.get("user", "")
    if not user.isdigit():
        raise ValueError("user must be a number")
    try:
        lines = (await ask(app.settings.gateway, f"/cart/{user}"))["items"]
        if not lines:
            return _refused(request, "empty", 409, "the cart is empty")
        cents = sum(line["cents"] * line["quantity"] for line in lines)
        paid = await ask(app.settings.gateway, "/payments", {"cents": str(cents)})
        # Last, so that a payment which fails leaves the cart as it was.
        await ask(app.settings.gateway, f"/cart/{user}/empty", {})
    except AskError as error:
        return _refused(request, "later", 503, f"cart or payment did not answer: {error}")
    things = ", ".join(f"{line['quantity']} × {line['name']}" for line in lines)
    row = (user, things, cents, paid["payment"])
    insert = "INSERT INTO orders (user, things, cents, payment) VALUES (?, ?, ?, ?)"
    number = await store.run(lambda rows: rows.execute(insert, row).lastrowid)
    if request.is_from_page:
        return Response.see_other("/?done=order#orders")
    return Response.json({"order": number, "cents": cents, "served_by": app.served_by}, 201)


def _refused(request: Request, word: str, status: int, detail: str) -> Response:
    if request.is_from_page:
        return Response.see_other(f"/?done={word}#orders")
    return Response.problem(status, detail)
