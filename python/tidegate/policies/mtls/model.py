# SPDX-License-Identifier: Apache-2.0
"""Settings of `mtls`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tidegate.config.clients import CertificateName
from tidegate.config.marks import Choice, Reads, one_or_more
from tidegate.config.policy_settings import PolicySettings

CertificateSubject = Annotated[
    Literal["name", "distinguished_name", "fingerprint"],
    Choice("CertificateSubject", doc="What of a certificate tells who it is."),
]


class Mtls(PolicySettings):
    """Lets in who shows a certificate, as the listener's `client_certificates` have verified it."""

    type: Literal["mtls"] = "mtls"
    """The room."""
    names: Annotated[list[CertificateName], Field(max_length=10_000), Reads(one_or_more, "item")] = Field(
        default_factory=list
    )
    """Names of which the certificate must have one, among its `subjectAltName`; any does without."""
    subject: CertificateSubject = "name"
    """Who it is: the first name that `names` lets in, the whole distinguished name, or the fingerprint."""
