# SPDX-License-Identifier: Apache-2.0
"""The user service: who the customers are, in SQLite."""

from __future__ import annotations

import sqlite3

from shop.asgi import Request, Response, Service
from shop.store import Store

SCHEMA = """
CREATE TABLE IF NOT EXISTS users (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    updated_by TEXT NOT NULL DEFAULT ''
);
INSERT OR IGNORE INTO users (id, name, email) VALUES
    (1, 'Mara Holm', 'mara@example.com'),
    (2, 'Jonas Reyes', 'jonas@example.com');
"""

app = Service("user")
store = Store(app.settings.data / "user.sqlite", SCHEMA)


def find(connection: sqlite3.Connection, identifier: str) -> dict[str, object] | None:
    """The user's row, or None."""
    row = connection.execute("SELECT * FROM users WHERE id = ?", (identifier,)).fetchone()
    return dict(row) if row else None


def update(connection: sqlite3.Connection, identifier: str, name: str, by: str) -> dict[str, object] | None:
    """Writes the name and the instance that wrote it; the row after that, or None."""
    connection.execute("UPDATE users SET name = ?, updated_by = ? WHERE id = ?", (name, by, identifier))
    return find(connection, identifier)


def _answer(user: dict[str, object] | None, request: Request) -> Response:
    if user is None:
        return Response.problem(404, "no such user")
    served_by = {**app.served_by, "via": request.fields.get("via", "")}
    return Response.json({"user": user, "served_by": served_by})


@app.route("GET", "/users/{id}")
async def show(request: Request) -> Response:
    """One user."""
    return _answer(await store.run(lambda rows: find(rows, request.parameters["id"])), request)


@app.route("POST", "/users/{id}")
async def change(request: Request) -> Response:
    """Updates a profile; the page's form ends here. `name` has 1 to 80 characters."""
    name = request.values.get("name", "").strip()
    if not 1 <= len(name) <= 80:
        raise ValueError("the name must have 1 to 80 characters")
    by = app.settings.instance
    user = await store.run(lambda rows: update(rows, request.parameters["id"], name, by))
    if user is not None and request.is_from_page:
        return Response.see_other("/?done=profile#profile")
    return _answer(user, request)
