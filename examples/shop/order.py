# SPDX-License-Identifier: Apache-2.0
"""The order service: takes the cart's things, has them paid, remembers it and tells how far they are."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator

from shop.asgi import Request, Response, Service
from shop.outside import AskError, ask
from shop.store import Store

SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
    id INTEGER PRIMARY KEY,
    user TEXT NOT NULL,
    things TEXT NOT NULL,
    cents INTEGER NOT NULL,
    payment INTEGER NOT NULL,
    placed REAL NOT NULL
);
"""

STAGES = (("ordered", 0.0), ("packed", 1.5), ("sent", 3.0))
"""What becomes of an order, and how many seconds after it was placed: the warehouse is quick, and not real.

By the time alone, so that each instance knows it of each order, whoever took that.
"""

app = Service("order")
store = Store(app.settings.data / "order.sqlite", SCHEMA)


def of_user(connection: sqlite3.Connection, user: str) -> list[dict[str, object]]:
    """The user's orders, the newest first, at most ten."""
    rows = connection.execute("SELECT * FROM orders WHERE user = ? ORDER BY id DESC LIMIT 10", (user,))
    return [{**row, "status": STAGES[stage(row["placed"])][0]} for row in map(dict, rows)]


def stage(placed: float) -> int:
    """How far an order is that was placed then, as an index of STAGES."""
    age = time.time() - placed
    return max((index for index, (_, after) in enumerate(STAGES) if after <= age), default=0)


def placed(connection: sqlite3.Connection, number: str) -> float | None:
    """When an order was placed, in seconds since 1970; None when there is no such order."""
    row = connection.execute("SELECT placed FROM orders WHERE id = ?", (number,)).fetchone()
    return None if row is None else float(row[0])


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
    row = (user, things, cents, paid["payment"], time.time())
    insert = "INSERT INTO orders (user, things, cents, payment, placed) VALUES (?, ?, ?, ?, ?)"
    number = await store.run(lambda rows: rows.execute(insert, row).lastrowid)
    if request.is_from_page:
        return Response.see_other("/?done=order#orders")
    return Response.json({"order": number, "cents": cents, "served_by": app.served_by}, 201)


@app.route("GET", "/orders/{number}/status")
async def status(request: Request) -> Response:
    """How far an order is, for those who ask again and again."""
    since = await store.run(lambda rows: placed(rows, request.parameters["number"]))
    if since is None:
        return Response.problem(404, "no such order")
    return Response.json({"status": STAGES[stage(since)][0], "served_by": app.served_by})


@app.push("/orders/{number}/status")
async def pushed(request: Request) -> AsyncIterator[str]:
    """How far an order is, and each change as it comes: `{"order", "status", "instance", "zone"}`."""
    number = request.parameters["number"]
    since = await store.run(lambda rows: placed(rows, number))
    if since is None:
        return
    for index in range(stage(since), len(STAGES)):
        name, after = STAGES[index]
        await asyncio.sleep(max(0.0, since + after - time.time()))
        yield json.dumps({"order": int(number), "status": name, **app.served_by})


def _refused(request: Request, word: str, status: int, detail: str) -> Response:
    if request.is_from_page:
        return Response.see_other(f"/?done={word}#orders")
    return Response.problem(status, detail)
