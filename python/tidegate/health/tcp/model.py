# SPDX-License-Identifier: Apache-2.0
"""Settings of `tcp`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from tidegate.config.base import refuse
from tidegate.config.pace import Pace, bounded
from tidegate.config.types import ByteSize, Flag

_Text = Annotated[str, Field(min_length=1, max_length=4096, strict=True)]


class TcpCheck(Pace):
    """An endpoint is well if it accepts a connection, and says what is expected."""

    type: Literal["tcp"] = "tcp"
    """The room."""
    send: _Text | None = None
    """What is sent once the connection is there; wants `expect`."""
    expect: _Text | None = None
    """A text that must come back; without it a connection is enough."""
    expect_within: ByteSize = ByteSize("4KiB")
    """In how many bytes from the first it must occur."""
    tls: Flag = True
    """Whether TLS is spoken where the backend has it; without it a bare connection is enough."""

    @field_validator("expect_within", mode="after")
    @classmethod
    def _within(cls, within: ByteSize) -> ByteSize:
        return bounded(within)

    @model_validator(mode="after")
    def _expects(self) -> TcpCheck:
        if self.send is not None and self.expect is None:
            raise refuse("has `send` and waits for nothing; write what comes back as `expect`", "rule")
        if self.expect is not None and not self.tls:
            raise refuse("with `tls: false` nothing is said to an endpoint; leave `expect` out", "rule")
        return self
