# SPDX-License-Identifier: Apache-2.0
"""Keeping browsers on HTTPS: a plain listener that redirects, and Strict-Transport-Security."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field, field_validator, model_validator

from tidegate.config.base import Model, refuse
from tidegate.config.types import Duration, Flag, Port

_YEAR: Final = 365 * 86_400_000


class ListenerRedirect(Model):
    """Requests that no route of the listener's own takes are sent to HTTPS. `https` alone is enough."""

    short_forms: ClassVar[tuple[Any, ...]] = ({"const": "https"},)

    elsewhere: ClassVar[dict[str, str]] = {
        "scheme": "it is always https; leave it out",
        "to": "write the port of the other listener: `{ port: 443 }`",
        "code": "write `status`",
    }

    port: Port | None = None
    """The port in the new URL; if left out, that of the listener with `tls`."""
    status: Annotated[int, Field(ge=300, le=399, strict=True)] = 308
    """301, 302, 307 or 308. 307 and 308 keep method and body."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if value == "https":
            return {}
        if isinstance(value, str | bool):
            raise refuse("must be `https`, or a mapping such as `{ port: 443, status: 301 }`")
        return value

    @field_validator("status", mode="after")
    @classmethod
    def _redirects(cls, status: int) -> int:
        if status not in (301, 302, 307, 308):
            raise refuse(f"{status} does not redirect every method; write 301, 302, 307 or 308", "rule")
        return status

    def port_among(self, secured: Iterable[int]) -> int:
        """The port in the new URL.

        Args:
            secured: Ports of the listeners that speak TLS.

        Raises:
            ValueError: It is not known; says what to write.
        """
        if self.port is not None:
            return self.port
        ports = sorted({port for port in secured if port})
        if len(ports) == 1:
            return ports[0]
        if not ports:
            raise ValueError(
                "there is no listener with `tls` to send clients to; write one, "
                "or with TLS elsewhere the port: `redirect: { port: 443 }`"
            )
        known = " and ".join(map(str, ports))
        raise ValueError(
            f"listeners with `tls` are at the ports {known}; say which: `redirect: {{ port: {ports[0]} }}`"
        )


class Hsts(Model):
    """What `Strict-Transport-Security` tells browsers (RFC 6797). A duration alone is `max_age`."""

    short_forms: ClassVar[tuple[Any, ...]] = ({"type": "string"},)

    max_age: Duration
    """How long, in whole seconds, a browser uses HTTPS alone for the host, counted from each response."""
    include_subdomains: Flag = False
    """Whether that goes for every name under the host, too."""
    preload: Flag = False
    """Whether browsers may ship with it. It takes months to take back, and wants `max_age` of at least 365d
    with `include_subdomains`."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise refuse("must say for how long; write `hsts: 365d`, and first for a trial `hsts: 5m`")
        return {"max_age": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _sound(self) -> Hsts:
        if int(self.max_age) % 1000:
            raise refuse("`max_age` is in whole seconds", "rule")
        if self.preload and (int(self.max_age) < _YEAR or not self.include_subdomains):
            raise refuse(
                "`preload` is for whole domains and a year at least: "
                "write `{ max_age: 365d, include_subdomains: true, preload: true }`",
                "rule",
            )
        return self
