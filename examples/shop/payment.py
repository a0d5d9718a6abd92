# SPDX-License-Identifier: Apache-2.0
"""The payment service, which can be held busy to see whom a balancer then asks.

The control pages are for whoever runs the demo: no gateway here has a route to them.
"""

from __future__ import annotations

import asyncio

from shop.asgi import Request, Response, Service
from shop.store import Store

SCHEMA = """
CREATE TABLE IF NOT EXISTS payments (
    id INTEGER PRIMARY KEY,
    cents INTEGER NOT NULL,
    taken_by TEXT NOT NULL
);
"""

app = Service("payment")
store = Store(app.settings.data / "payment.sqlite", SCHEMA)


class Gate:
    """Open, or held: then every payment waits until it is opened again."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self.waiting = 0

    @property
    def is_held(self) -> bool:
        return not self._open.is_set()

    def hold(self) -> None:
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    async def passed(self) -> None:
        """Returns once the gate is open."""
        self.waiting += 1
        try:
            await self._open.wait()
        finally:
            self.waiting -= 1


gate = Gate()


def _served_by(request: Request) -> dict[str, str]:
    return {**app.served_by, "via": request.fields.get("via", "")}


@app.route("GET", "/payments")
async def count(request: Request) -> Response:
    """How many payments there are, and their sum in cents."""
    await gate.passed()
    row = await store.run(lambda rows: rows.execute("SELECT count(*), total(cents) FROM payments").fetchone())
    return Response.json({"payments": row[0], "cents": int(row[1]), "served_by": _served_by(request)})


@app.route("POST", "/payments")
async def pay(request: Request) -> Response:
    """Takes `cents`, more than zero, and says under which number."""
    await gate.passed()
    cents = int(request.values.get("cents", "0"))
    if cents <= 0:
        raise ValueError("cents must be more than zero")
    taken = (cents, app.settings.instance)
    insert = "INSERT INTO payments (cents, taken_by) VALUES (?, ?)"
    number = await store.run(lambda rows: rows.execute(insert, taken).lastrowid)
    return Response.json({"payment": number, "cents": cents, "served_by": _served_by(request)}, 201)


@app.route("POST", "/control/hold")
async def hold(request: Request) -> Response:
    """Holds every payment from now on."""
    gate.hold()
    return await control(request)


@app.route("POST", "/control/release")
async def release(request: Request) -> Response:
    """Lets the held ones go."""
    gate.release()
    return await control(request)


@app.route("GET", "/control")
async def control(request: Request) -> Response:
    """Whether payments are held and how many wait."""
    return Response.json({"held": gate.is_held, "waiting": gate.waiting, "served_by": app.served_by})
