# SPDX-License-Identifier: Apache-2.0
"""Turns what the services said into the page. Everything from outside is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from string import Template
from typing import Any

NOTES = {
    "profile": "Profile saved.",
    "cart": "Added to your cart.",
    "order": "Ordered and paid. Thank you!",
    "empty": "Your cart is empty: nothing was ordered.",
    "later": "Cart or payment did not answer: nothing was ordered. Please try again.",
}


@dataclass(frozen=True)
class Part:
    """What one service answered, or why it did not."""

    said: Mapping[str, Any]
    failure: str


def render(template: str, parts: Mapping[str, Part], served_by: Mapping[str, str], done: str) -> str:
    """The page's HTML.

    Args:
        template: HTML with `$names`.
        parts: By name: profile, products, cart, orders, payments.
        served_by: The instance that renders, its zone and the `Via` it was reached by.
        done: What the form before this page did, a key of NOTES.
    """
    user = parts["profile"].said.get("user", {})
    lines = parts["cart"].said.get("items", [])
    orders = parts["orders"].said.get("orders", [])
    total = sum(line["cents"] * line["quantity"] for line in lines)
    badges = {f"{name}_badge": _badge(part) for name, part in parts.items()}
    return Template(template).substitute(
        **badges,
        note=f'<p class="note" role="status">{NOTES[done]}</p>' if done in NOTES else "",
        name=escape(str(user.get("name", ""))),
        email=escape(str(user.get("email", "not known right now"))),
        initials=escape(_initials(str(user.get("name", "")))),
        products=_list("products", map(_product, parts["products"].said.get("items", [])))
        or _gap(parts["products"]),
        cart=_list("lines", map(_line, lines)) or _gap(parts["cart"], "Nothing in it yet."),
        total=_money(total),
        count=str(sum(line["quantity"] for line in lines)),
        order_disabled="" if lines else "disabled",
        orders=_list("lines", map(_order, orders)) or _gap(parts["orders"], "No orders yet."),
        paid=_money(int(parts["payments"].said.get("cents", 0))),
        answered=_answered(parts, served_by),
    )


def _money(cents: int) -> str:
    return f"€{cents // 100}.{cents % 100:02d}"


def _initials(name: str) -> str:
    return "".join(word[0] for word in name.split()[:2]).upper() or "?"


def _gap(part: Part, otherwise: str = "") -> str:
    text = "This service is not answering right now." if part.failure else otherwise
    return f'<p class="quiet">{text}</p>'


def _badge(part: Part) -> str:
    if part.failure:
        return '<span class="badge away">no answer</span>'
    by = part.said["served_by"]
    zone = escape(by["zone"])
    return f'<span class="badge" data-zone="{zone}">{escape(by["instance"])} <small>{zone}</small></span>'


def _list(style: str, items: Iterable[str]) -> str:
    inside = "".join(items)
    return f'<ul class="{style}">{inside}</ul>' if inside else ""


def _product(product: Mapping[str, Any]) -> str:
    sku, name = escape(product["sku"]), escape(product["name"])
    return (
        f'<li class="product"><svg aria-hidden="true"><use href="/assets/icon.svg#{sku}"/></svg>'
        f"<h3>{name}</h3><p>{_money(product['cents'])}</p>"
        f'<form method="post" action="/cart/1"><input type="hidden" name="sku" value="{sku}">'
        f'<button class="small">Add<span class="unseen"> {name} to the cart</span></button></form></li>'
    )


def _line(line: Mapping[str, Any]) -> str:
    return (
        f"<li><span>{line['quantity']} × {escape(line['name'])}</span>"
        f"<span>{_money(line['cents'] * line['quantity'])}</span></li>"
    )


def _order(order: Mapping[str, Any]) -> str:
    return (
        f"<li><span><strong>#{order['id']}</strong> {escape(order['things'])}"
        f' <span class="status" data-order="{order["id"]}" role="status">{escape(order["status"])}</span>'
        "</span>"
        f"<span>{_money(order['cents'])}</span></li>"
    )


def _answered(parts: Mapping[str, Part], served_by: Mapping[str, str]) -> str:
    """One table row per service: the way its request took, its instance and its zone."""
    said = {"page": Part({"served_by": served_by}, ""), **parts}
    return "".join(_row(name, part) for name, part in said.items())


def _row(name: str, part: Part) -> str:
    by = part.said.get("served_by", {})
    steps = [escape(step.split()[-1]) for step in by.get("via", "").split(",") if step.strip()]
    way = " → ".join(f"<span>{step}</span>" for step in steps) or "straight"
    return f'<tr><th scope="row">{name}</th><td class="way">{way}</td><td>{_badge(part)}</td></tr>'
