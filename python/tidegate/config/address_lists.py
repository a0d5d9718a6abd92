# SPDX-License-Identifier: Apache-2.0
"""Lists of addresses, in the configuration and in files of their own: what `ip_allow` and `ip_deny` share."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, ClassVar, Final

from pydantic import Field, StringConstraints
from pydantic_core import PydanticCustomError

from tidegate.config import addresses
from tidegate.config.marks import Reads, Rule, one_or_more
from tidegate.config.policy_settings import PolicySettings
from tidegate.config.types import Network

_SHOWN: Final = 3
# Where comments begin in what is published: `10.0.0.0/8 ; SBL1`, `# list of ...`.
_COMMENTS: Final = ("#", ";")
_LIKE_ADDRESS: Final = re.compile(r"[0-9a-fA-F.:/%-]{1,60}")


@lru_cache(maxsize=16)
def networks_in(text: str) -> str:
    """The networks of a text with one on each line, in their one spelling; comments are left out.

    Raises:
        ValueError: Lines that are none, the first of them named.
    """
    found: list[str] = []
    wrong: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        for mark in _COMMENTS:
            line = line.partition(mark)[0]
        line = line.strip()
        if not line:
            continue
        if _is_plain(line):
            found.append(line)
            continue
        try:
            found.append(addresses.network(line))
        except ValueError as error:
            # It may be the wrong file, with a key in it.
            says = f": {error}" if _LIKE_ADDRESS.fullmatch(line) else " is no network"
            wrong.append(f"line {number}{says}")
    if wrong and "\n" not in text.strip() and not found:
        raise ValueError(
            "is no list of networks; write one on each line, or `${file:blocked.txt}` for a file"
        )
    if wrong:
        more = f" (and {len(wrong) - _SHOWN} more lines)" if len(wrong) > _SHOWN else ""
        raise ValueError("; ".join(wrong[:_SHOWN]) + more)
    return "".join(f"{network}\n" for network in found)


def _is_plain(line: str) -> bool:
    """Whether it is a network of IPv4 in its one spelling: most lines of long lists, told without objects."""
    address, slash, length = line.partition("/")
    try:
        packed = socket.inet_pton(socket.AF_INET, address)
    except (OSError, ValueError):
        return False
    if not slash:
        return True
    if not (length.isascii() and length.isdigit()) or length != str(int(length[:3])) or int(length) > 31:
        return False
    return not int.from_bytes(packed) & (0xFFFFFFFF >> int(length))


@dataclass(frozen=True, slots=True)
class _Lines(Rule):
    """The rule of a file of addresses. What is wrong in it is told although it comes from outside."""

    def _validate(self, value: str) -> str:
        try:
            return self.read(value)
        except ValueError as error:
            raise PydanticCustomError("addresses", "{reason}", {"reason": str(error)}) from None


AddressFile = Annotated[
    str,
    StringConstraints(strict=True, max_length=8 << 20),
    _Lines(networks_in, "networks and addresses, one on each line"),
]


class AddressSettings(PolicySettings):
    """Addresses, of whom a policy says something."""

    addresses: Annotated[list[Network], Reads(one_or_more, "item")] = Field(default_factory=list)
    """Networks and addresses: `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.7`."""
    file: AddressFile | None = None
    """More of them from a file with one on each line: `${file:addresses.txt}`. What is behind `#` or `;` is a
    comment. It is read again when it changes."""

    elsewhere: ClassVar[dict[str, str]] = {
        "allow": "write `addresses`",
        "deny": "write `addresses`",
        "ips": "write `addresses`",
        "networks": "write `addresses`",
        "cidrs": "write `addresses`",
        "source_range": "write `addresses`",
        "sourceRange": "write `addresses`",
        "ip_strategy": "write `gateway: { trusted_proxies: [...] }`: whose X-Forwarded-For is believed",
        "trusted_proxies": "write it in section `gateway`",
        "status": "it is 403; write an `error_pages` entry with a `status` for another",
    }
