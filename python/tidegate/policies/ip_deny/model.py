# SPDX-License-Identifier: Apache-2.0
"""Settings of `ip_deny`."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from tidegate.config.address_lists import AddressSettings
from tidegate.config.base import refuse


class IpDeny(AddressSettings):
    """Clients of these addresses get a 403."""

    type: Literal["ip_deny"] = "ip_deny"
    """The room."""

    @model_validator(mode="after")
    def _some(self) -> IpDeny:
        # A list that others write may well be empty today.
        if not self.addresses and self.file is None:
            raise refuse("names nobody; write `addresses`, or `file: ${file:blocked.txt}`", "rule")
        return self
