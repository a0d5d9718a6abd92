# SPDX-License-Identifier: Apache-2.0
"""What stands in the store of certificates."""

from __future__ import annotations

from dataclasses import dataclass


class StoreError(Exception):
    """The store can not be used; the text says which file, why, and what to do."""


class Fenced(Exception):
    """Somebody else has the lease by now: what was done must not be written."""


@dataclass(frozen=True)
class Kept:
    """A certificate in the store.

    Attributes:
        id: The authority and the names.
        names: What it was ordered for.
        cert: It and those that signed it, in PEM.
        key: Its key, in PEM.
        issuer: Who signed it.
        not_before: Its first second since 1970.
        not_after: Its last second.
        renew_at: When it is to be renewed.
        ask_at: When the authority is to be asked again for that.
    """

    id: str
    names: tuple[str, ...]
    cert: str
    key: str
    issuer: str
    not_before: int
    not_after: int
    renew_at: int
    ask_at: int

    def __repr__(self) -> str:
        return f"Kept({self.id!r})"


@dataclass(frozen=True)
class Attempt:
    """What came of the last attempts for a certificate.

    Attributes:
        failures: How many came to nothing, one after the other.
        next_at: Not before.
        kind: As the authority calls it.
        says: For people.
        failed_at: When.
    """

    failures: int = 0
    next_at: int = 0
    kind: str = ""
    says: str = ""
    failed_at: int = 0


@dataclass(frozen=True)
class Proof:
    """What answers an authority.

    Attributes:
        name: The host name.
        token: What it asks by.
        answer: What `http-01` is answered with.
        cert: What `tls-alpn-01` is shown, in PEM; its key beside it.
    """

    name: str
    token: str
    answer: str
    cert: str
    key: str


@dataclass(frozen=True)
class Lease:
    """The right to order a certificate: whoever takes it after somebody else gets a higher `fence`."""

    id: str
    holder: str
    fence: int
