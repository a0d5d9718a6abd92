# SPDX-License-Identifier: Apache-2.0
"""The web page in front of the shop. It knows one address: the gateway's.

Whole without JavaScript: each button is a form, each form goes to a service through the gateway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from shop.asgi import Request, Response, Service
from shop.outside import AskError, ask
from shop.page import Part, render

PAGES = Path(__file__).parent / "pages"
ASSETS = {"style.css": "text/css", "shop.js": "text/javascript", "icon.svg": "image/svg+xml"}
CUSTOMER = "1"
"""Who is signed in; the shop has no passwords."""

app = Service("web")


async def _part(path: str) -> Part:
    """One service's answer, or why there is none: a page with a gap is better than no page."""
    try:
        return Part(await ask(app.settings.gateway, path), "")
    except AskError as error:
        return Part({}, str(error))


@app.route("GET", "/")
async def page(request: Request) -> Response:
    """The shop, with what each service says right now."""
    names = ("profile", "products", "cart", "orders", "payments")
    paths = (
        f"/users/{CUSTOMER}",
        "/cart/products",
        f"/cart/{CUSTOMER}",
        f"/orders?user={CUSTOMER}",
        "/payments",
    )
    parts: Mapping[str, Part] = dict(zip(names, await asyncio.gather(*map(_part, paths)), strict=True))
    served_by = {**app.served_by, "via": request.fields.get("via", "")}
    text = render((PAGES / "index.html").read_text("utf-8"), parts, served_by, request.query.get("done", ""))
    fields = {"content-type": "text/html; charset=utf-8", "cache-control": "no-store"}
    # Nothing from elsewhere, nothing inline: the page could not be made to talk to another address.
    own = ("style-src", "script-src", "img-src", "connect-src", "form-action")
    policy = "; ".join(["default-src 'none'", *(f"{what} 'self'" for what in own)])
    return Response(200, text.encode(), {**fields, "content-security-policy": policy})


@app.route("GET", "/assets/{name}")
async def asset(request: Request) -> Response:
    """Style sheet, script and icon."""
    name = request.parameters["name"]
    if name not in ASSETS:
        return Response.problem(404, "no such file")
    return Response(
        200, (PAGES / name).read_bytes(), {"content-type": ASSETS[name], "cache-control": "max-age=60"}
    )
