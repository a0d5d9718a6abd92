# SPDX-License-Identifier: Apache-2.0
"""Settings of `ip_allow`."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from tidegate.config.address_lists import AddressSettings
from tidegate.config.base import refuse


class IpAllow(AddressSettings):
    """Only clients of these addresses come in; others get a 403."""

    type: Literal["ip_allow"] = "ip_allow"
    """The room."""

    @model_validator(mode="after")
    def _some(self) -> IpAllow:
        if not (self.addresses or self.file):
            says = "a file without any would keep everybody out" if self.file is not None else "names nobody"
            raise refuse(f"{says}; write `addresses`, or `file: ${{file:office.txt}}`", "rule")
        return self
