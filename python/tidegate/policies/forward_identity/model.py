# SPDX-License-Identifier: Apache-2.0
"""Settings of `forward_identity`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from tidegate.config.base import refuse
from tidegate.config.marks import Choice, Reads, one_or_more
from tidegate.config.names import field_name
from tidegate.config.policy_settings import PolicySettings

IdentityPart = Annotated[
    Literal["subject", "scheme", "issuer", "roles", "scopes"],
    Choice("IdentityPart", doc="What endpoints are told of who calls."),
]


def _standard() -> list[IdentityPart]:
    return ["subject", "roles"]


class ForwardIdentity(PolicySettings):
    """Tells endpoints who calls, in fields of the request that no client can send."""

    type: Literal["forward_identity"] = "forward_identity"
    """The room."""
    fields: Annotated[list[IdentityPart], Reads(one_or_more, "item")] = Field(default_factory=_standard)
    """What of it: `subject` is `X-Identity-Subject`, and so on."""
    claims: Annotated[list[str], Field(max_length=100), Reads(one_or_more, "item")] = Field(
        default_factory=list
    )
    """Claims: `email` is `X-Identity-Claim-Email`."""

    @field_validator("claims", mode="after")
    @classmethod
    def _nameable(cls, claims: list[str]) -> list[str]:
        seen: dict[str, str] = {}
        for claim in claims:
            try:
                name = field_name(claim)
            except ValueError:
                says = f"`{claim}` makes no name of a field; let a policy in Python forward it"
                raise refuse(says, "text") from None
            folded = "".join(letter if letter.isalnum() else "-" for letter in name.lower())
            if folded in seen:
                raise refuse(f"`{claim}` would be the same field as `{seen[folded]}`", "rule")
            seen[folded] = claim
        return claims

    @model_validator(mode="after")
    def _some(self) -> ForwardIdentity:
        if not (self.fields or self.claims):
            raise refuse("tells nothing; write `fields` or `claims`, or leave the policy out", "rule")
        return self
