# SPDX-License-Identifier: Apache-2.0
"""Settings of `grpc`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from tidegate.config import addresses
from tidegate.config.base import refuse
from tidegate.config.pace import Pace
from tidegate.config.types import Text

_Service = Annotated[str, Field(min_length=1, max_length=1024, strict=True)]


class GrpcCheck(Pace):
    """An endpoint is well if its health service, `grpc.health.v1.Health`, says that it serves."""

    type: Literal["grpc"] = "grpc"
    """The room."""
    service: _Service | None = None
    """The service whose health is asked for, as the endpoint names it; the server as a whole without it."""
    host: Text | None = None
    """What is sent as `:authority`; the endpoint's own address without it."""

    elsewhere: ClassVar[dict[str, Any]] = {
        "service_name": "write `service`",
        "authority": "write `host`",
        "port": "checks go where requests go; write the port in the endpoint's address",
        "tls": "checks speak TLS where the backend does; write `tls` on the backend",
    }

    @field_validator("host", mode="after")
    @classmethod
    def _host(cls, host: str | None) -> str | None:
        try:
            return None if host is None else addresses.authority(host)
        except ValueError as error:
            raise refuse(str(error), "text") from None
