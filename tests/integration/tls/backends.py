# SPDX-License-Identifier: Apache-2.0
"""A gateway with TLS to its endpoints and none to its clients."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.tls.authority import Authority
from tests.integration.tls.client import ask, connect
from tidegate.testing import RunningGateway


def configuration(*endpoints: str, tls: object = True, **backend: Any) -> str:
    """One listener without TLS, one backend with it, `shop`."""
    return json.dumps(
        {
            "gateway": {"threads": 1, "admin": {"port": 60_999}},
            "listeners": {"web": {"port": 60_080}},
            "backends": {"shop": {"endpoints": list(endpoints), "tls": tls, **backend}},
            "routes": [{"path": "/", "to": "shop"}],
        }
    )


def local(port: int) -> str:
    return f"localhost:{port}"


def asked(running: RunningGateway, **parts: str) -> tuple[int, bytes]:
    """Status and body of one request on a connection of its own."""
    with connect(running) as client:
        head, body = ask(client, **parts)
    return int(head.split()[1]), body


def backend(running: RunningGateway, name: str = "shop") -> dict[str, Any]:
    found: list[dict[str, Any]] = [each for each in running.status()["backends"] if each["name"] == name]
    return found[0]


def handshakes(running: RunningGateway) -> dict[str, Any]:
    found: dict[str, Any] = backend(running)["tls"]["handshakes"]
    return found


def trusts(authority: Authority, **more: object) -> dict[str, object]:
    return {"ca": str(authority.file), **more}
