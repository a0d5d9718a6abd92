# SPDX-License-Identifier: Apache-2.0
"""The cart service: what there is to buy and what a customer wants of it."""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, dataclass

from shop.asgi import Request, Response, Service
from shop.store import Store


@dataclass(frozen=True)
class Product:
    """One thing on sale; the price in cents."""

    sku: str
    name: str
    cents: int


PRODUCTS = {
    product.sku: product
    for product in (
        Product("lamp", "Storm lamp", 4900),
        Product("rope", "Mooring rope", 2250),
        Product("compass", "Brass compass", 6400),
        Product("kettle", "Galley kettle", 3800),
    )
}

SCHEMA = """
CREATE TABLE IF NOT EXISTS items (
    user TEXT NOT NULL,
    sku TEXT NOT NULL,
    quantity INTEGER NOT NULL,
    PRIMARY KEY (user, sku)
);
"""

app = Service("cart")
store = Store(app.settings.data / "cart.sqlite", SCHEMA)


def contents(connection: sqlite3.Connection, user: str) -> list[dict[str, object]]:
    """The lines of a cart: `[{"sku", "name", "cents", "quantity"}]`, in order of sku."""
    rows = connection.execute("SELECT sku, quantity FROM items WHERE user = ? ORDER BY sku", (user,))
    return [{**asdict(PRODUCTS[sku]), "quantity": quantity} for sku, quantity in rows]


def put(connection: sqlite3.Connection, user: str, sku: str) -> list[dict[str, object]]:
    """One more of `sku`; the cart after that."""
    connection.execute(
        "INSERT INTO items VALUES (?, ?, 1) ON CONFLICT (user, sku) DO UPDATE SET quantity = quantity + 1",
        (user, sku),
    )
    return contents(connection, user)


def empty(connection: sqlite3.Connection, user: str) -> list[dict[str, object]]:
    """Nothing left in the cart; what was in it."""
    before = contents(connection, user)
    connection.execute("DELETE FROM items WHERE user = ?", (user,))
    return before


def _answer(lines: list[dict[str, object]], request: Request) -> Response:
    served_by = {**app.served_by, "via": request.fields.get("via", "")}
    return Response.json({"items": lines, "served_by": served_by})


@app.route("GET", "/cart/products")
async def products(request: Request) -> Response:
    """Everything on sale."""
    return _answer([asdict(product) for product in PRODUCTS.values()], request)


@app.route("GET", "/cart/{user}")
async def show(request: Request) -> Response:
    """One cart."""
    return _answer(await store.run(lambda rows: contents(rows, request.parameters["user"])), request)


@app.route("POST", "/cart/{user}")
async def add(request: Request) -> Response:
    """One more of `sku`."""
    sku = request.values.get("sku", "")
    if sku not in PRODUCTS:
        raise ValueError("sku must be one of " + ", ".join(PRODUCTS))
    lines = await store.run(lambda rows: put(rows, request.parameters["user"], sku))
    if request.is_from_page:
        return Response.see_other("/?done=cart#cart")
    return _answer(lines, request)


@app.route("POST", "/cart/{user}/empty")
async def take_all(request: Request) -> Response:
    """Empties a cart and answers what was in it."""
    return _answer(await store.run(lambda rows: empty(rows, request.parameters["user"])), request)
