# SPDX-License-Identifier: Apache-2.0
"""Certificates of a listener that nobody has written down: of an authority, and for development."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tidegate.config.acme import decoded
from tidegate.config.gateway import Gateway
from tidegate.config.secret import Secret
from tidegate.config.tls import ListenerTls, is_provable

Group = tuple[str, ...]
"""Names that share a certificate."""
Issued = tuple[list[dict[str, Any]], list[str]]
"""Certificates as `CertificateWire`, and names whose certificate is not there yet."""


def hosts(gateway: Gateway, listener: str) -> Iterator[str]:
    """Hosts of the routes that a listener serves, in their order, some more than once."""
    for route in gateway.routes:
        if route.type == "http" and (not route.listeners or listener in route.listeners):
            yield from route.hosts


def groups(gateway: Gateway, listener: str, tls: ListenerTls) -> list[Group]:
    """What certificates a listener with `tls: auto` wants."""
    if not tls.auto:
        return []
    names = dict.fromkeys(tls.names or filter(is_provable, hosts(gateway, listener)))
    return [tuple(names)] if tls.together and names else [(name,) for name in names]


def orders(gateway: Gateway, folder: Path) -> dict[str, Any] | None:
    """What is to be got from an authority, as `tidegate.issuing.keeper.Wanted` reads it; `None` for nothing.

    Args:
        folder: What relative paths start from.
    """
    from tidegate.issuing import store

    acme, listeners = gateway.gateway.acme, gateway.listeners
    found = {
        group: None
        for name, listener in listeners.items()
        if listener.tls is not None
        for group in groups(gateway, name, listener.tls)
    }
    if acme is None or not found:
        return None
    # Where nobody could answer it is not asked for.
    is_plain = any(listener.tls is None for listener in listeners.values())
    kinds = [kind for kind in acme.challenges if is_plain or kind != "http-01"] or acme.challenges
    external = acme.external_account
    return {
        "terms": {
            "authority": acme.directory,
            "contact": acme.contact,
            "roots": None if acme.roots is None else str(folder / acme.roots),
            "external": None if external is None else [external.id, decoded(external.key).hex()],
            "key_type": acme.key_type,
            "challenges": kinds,
        },
        "store": str(store.folder(acme, folder)),
        "groups": [list(group) for group in found],
    }


def issued(gateway: Gateway, listener: str, tls: ListenerTls, folder: Path) -> Issued:
    """What stands behind the certificates that were written.

    Args:
        folder: What relative paths start from.

    Raises:
        ValueError: There is none and will be none, and why.
    """
    found, awaited = _ordered(gateway, listener, tls, folder) if tls.auto else ([], [])
    return found + ([_development(gateway, listener)] if tls.dev else []), awaited


def _development(gateway: Gateway, listener: str) -> dict[str, Any]:
    from tidegate.issuing import development

    names = [host for host in hosts(gateway, listener) if development.may_sign(host)]
    try:
        made = development.ensure(names)
        text, key = made.cert.read_text(), made.key.read_text()
    except (development.DevelopmentError, OSError) as error:
        raise ValueError(f"no certificate for development: {error}") from error
    return {"cert_name": str(made.cert), "cert": text, "key_name": str(made.key), "key": Secret(key, "dev")}


def _ordered(gateway: Gateway, listener: str, tls: ListenerTls, folder: Path) -> Issued:
    from tidegate.issuing import store

    acme = gateway.gateway.acme
    if acme is None or not acme.accept_terms:
        raise ValueError(
            "`auto` orders certificates from an authority whose terms you have to accept; "
            "write `gateway: { acme: { accept_terms: true } }`, with `contact: [you@shop.example]` beside it"
        )
    wanted = groups(gateway, listener, tls)
    if not wanted:
        raise ValueError("`auto` needs host names; write `hosts` on the routes, or `names` here")
    try:
        kept = store.kept(store.folder(acme, folder), acme.directory)
    except store.StoreError as error:
        raise ValueError(str(error)) from error
    chosen: dict[str, store.Kept] = {}
    awaited = []
    for group in wanted:
        for name in group:
            best = max(
                (each for each in kept if name in each.names),
                key=lambda each: (set(each.names) == set(group), each.not_after),
                default=None,
            )
            if best is None:
                awaited.append(name)
            else:
                chosen[best.id] = best
    certificates = [
        {
            "cert_name": f"acme:{each.names[0]}",
            "cert": each.cert,
            "key_name": f"acme:{each.names[0]}",
            "key": Secret(each.key, f"acme:{each.id}"),
        }
        for each in chosen.values()
    ]
    return certificates, awaited
