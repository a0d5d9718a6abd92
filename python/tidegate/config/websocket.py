# SPDX-License-Identifier: Apache-2.0
"""What is asked of the WebSockets of a route."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from tidegate.config.base import Model, refuse
from tidegate.config.marks import Reads, one_or_more
from tidegate.config.types import ByteSize, Duration, Origin


class WebSocket(Model):
    """What is asked of WebSockets; other requests of the route pass as ever."""

    origins: Annotated[list[Origin], Reads(one_or_more, "item")] = Field(default_factory=list)
    """Whose pages may open one: `https://shop.example`, `https://*.shop.example`, or `same` for those of the
    host that is asked. Browsers say where a page is from; who says nothing is none, and is let in.
    Pages of others get a 403. Without it any page may."""
    message_size: ByteSize | None = None
    """The most that one message of a client may hold, compressed if it comes so. A larger one ends the
    connection with status code 1009, and so does with 1002 what is no message."""
    ping: Duration | None = None
    """A client that was silent for so long is asked whether it is there; without an answer in as long
    again the connection ends."""

    @model_validator(mode="after")
    def _some(self) -> WebSocket:
        if not self.origins and self.message_size is None and self.ping is None:
            raise refuse("asks for nothing; write `origins`, `message_size` or `ping`", "rule")
        return self
