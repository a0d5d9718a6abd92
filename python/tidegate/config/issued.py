# SPDX-License-Identifier: Apache-2.0
"""Certificates of a listener that nobody has written down: those for development."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tidegate.config.gateway import Gateway
from tidegate.config.secret import Secret
from tidegate.config.tls import ListenerTls


def hosts(gateway: Gateway, listener: str) -> Iterator[str]:
    """Hosts of the routes that a listener serves, in their order, some more than once."""
    for route in gateway.routes:
        if route.type == "http" and (not route.listeners or listener in route.listeners):
            yield from route.hosts


def issued(gateway: Gateway, listener: str, tls: ListenerTls) -> list[dict[str, Any]]:
    """As `CertificateWire`, behind those that were written.

    Raises:
        ValueError: There is none, and why.
    """
    return [_development(gateway, listener)] if tls.dev else []


def _development(gateway: Gateway, listener: str) -> dict[str, Any]:
    from tidegate.issuing import development

    names = [host for host in hosts(gateway, listener) if development.may_sign(host)]
    try:
        made = development.ensure(names)
        text, key = made.cert.read_text(), made.key.read_text()
    except (development.DevelopmentError, OSError) as error:
        raise ValueError(f"no certificate for development: {error}") from error
    return {"cert_name": str(made.cert), "cert": text, "key_name": str(made.key), "key": Secret(key, "dev")}
