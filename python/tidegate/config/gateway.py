# SPDX-License-Identifier: Apache-2.0
"""The whole configuration: what a `tidegate.yaml` holds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tidegate.config.backend import Backend
from tidegate.config.base import Model
from tidegate.config.function import Function
from tidegate.config.gateway_settings import GatewaySettings
from tidegate.config.l4 import AnyRoute
from tidegate.config.listener import Listener
from tidegate.config.policy import Policies
from tidegate.config.route import Route
from tidegate.config.types import Name

if TYPE_CHECKING:
    from tidegate.running import Running


class Gateway(Model):
    """A whole configuration."""

    gateway: GatewaySettings = GatewaySettings()
    """What concerns the whole gateway."""
    listeners: dict[Name, Listener] = Field(default_factory=dict)
    """Where connections are accepted, by name."""
    backends: dict[Name, Backend] = Field(default_factory=dict)
    """Groups of endpoints, by name."""
    routes: list[AnyRoute] = Field(default_factory=list)
    """Which requests go where; among equals the first one wins."""
    policies: dict[Name, Policies] = Field(default_factory=dict)
    """Sets of policies that others name."""
    functions: dict[Name, Function] = Field(default_factory=dict)
    """User code in function workers, by name."""

    not_yet: ClassVar[dict[str, str]] = {
        "apis": "", "stores": "", "certificates": "", "products": "", "plans": "",
        "regions": "", "steering": "",
        "secrets": "",
        "portal": "", "fleet": "",
    }  # fmt: skip

    elsewhere: ClassVar[dict[str, str]] = {
        "server": "write sections `listeners` and `routes`",
        "servers": "write sections `listeners` and `routes`",
        "http": "write sections `listeners`, `backends` and `routes`",
        "frontend": "write section `listeners`, and `routes` for its rules",
        "frontends": "write section `listeners`, and `routes` for its rules",
        "entryPoints": "write section `listeners`",
        "entrypoints": "write section `listeners`",
        "upstream": "write section `backends`",
        "upstreams": "write section `backends`",
        "clusters": "write section `backends`",
        "services": "write section `backends`",
        "routers": "write section `routes`",
        "rules": "write section `routes`",
        "middlewares": "write section `policies`",
        "global": "write section `gateway`",
        "kind": "this is a Kubernetes resource; write sections `listeners`, `backends` and `routes`",
    }

    @property
    def http_routes(self) -> list[Route]:
        """The routes of requests, in their order; the others have connections."""
        return [route for route in self.routes if isinstance(route, Route)]

    def decide(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        *,
        client: str | None = None,
        listener: str | None = None,
    ) -> dict[str, Any]:
        """What this gateway would do with a request, without sockets: what `tidegate explain --json` prints.

        All endpoints count as healthy.

        Args:
            url: With a host: `http://shop.example/cart`.
            client: The address it comes from; loopback if left out.
            listener: The one it comes in on; found from the URL's port if left out.

        Raises:
            ConfigError: The gateway has mistakes.
            ValueError: The request makes no sense.

        Example:
            >>> route = Route(path="/a", to={"respond": 204})
            >>> gateway = Gateway(listeners={"web": Listener(port=8080)}, routes=[route])
            >>> gateway.decide("GET", "http://localhost:8080/a")["status"]
            204
        """
        from tidegate import _engine
        from tidegate.config.check import check_gateway
        from tidegate.config.compile import compile_gateway

        check_gateway(self)
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        request = {"method": method, "url": url, "headers": [list(pair) for pair in pairs]}
        request |= {
            key: value for key, value in (("client", client), ("listener", listener)) if value is not None
        }
        told = _engine.decide(compile_gateway(self, threads=1).delta_json(None), json.dumps(request))
        decision: dict[str, Any] = json.loads(told)
        return decision

    def running(self, *, threads: int | None = None, timeout: float = 30.0) -> Running:
        """This gateway as real processes for a script, as a context manager for `with` and `async with`.

        They are those of `tidegate run`, listen where the listeners say, keep the rights of this process,
        and end with the block. Relative folders of functions start from the current one.

        Args:
            threads: Threads of the node; what `gateway.threads` says if left out.
            timeout: Seconds for the start, and for each answer.

        Example:
            ```python
            with gateway.running() as g:
                print(g.addresses["web"], g.status()["snapshot"])
            ```
        """
        from tidegate.running import Running

        return Running(self, threads=threads, timeout=timeout)
