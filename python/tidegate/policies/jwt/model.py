# SPDX-License-Identifier: Apache-2.0
"""Settings of `jwt`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints, model_validator

from tidegate.config.base import refuse
from tidegate.config.identity import wanted
from tidegate.config.marks import Reads, Rule, one_or_more
from tidegate.config.policy_settings import PolicySettings
from tidegate.config.target import HEADERS_SCHEMA
from tidegate.config.types import ChangeableRequestFieldName, CookieName, Duration, Flag, QueryName
from tidegate.policies.jwt.issuer import Claim, JwtIssuer

_Value = Annotated[str, StringConstraints(strict=True, max_length=1000)]


def _claim_path(text: str) -> str:
    if not text or len(text) > 1000:
        raise ValueError("a claim's name has 1 to 1000 letters")
    if text.startswith("/") and any(part not in "01" for part in (p[:1] for p in text.split("~")[1:])):
        raise ValueError(f"`{text}` has a `~` that is neither `~0` nor `~1`")
    return text


_Paths = Annotated[
    list[Annotated[str, Rule(_claim_path, "claim's name, or path such as `/realm_access/roles`")]],
    Field(max_length=10),
    Reads(one_or_more, "item"),
]


def _realm(text: str) -> str:
    if len(text) > 100 or not text.isascii() or not text.isprintable() or '"' in text or "\\" in text:
        raise ValueError("a realm has at most 100 printable letters of ASCII, no quotes and no `\\`")
    return text


_required = wanted("`{name}` must be text; put it in quotes, or use `authorize` with an `expression`")


class Jwt(PolicySettings):
    """Lets in who brings a JSON Web Token that an issuer has signed for this gateway."""

    type: Literal["jwt"] = "jwt"
    """The room."""
    issuers: Annotated[list[JwtIssuer], Field(min_length=1, max_length=50)]
    """Whose tokens are taken. Of several, the token's claim `iss` says which one is asked."""
    clock_skew: Annotated[Duration, Field(ge=1_000, le=600_000)] = Duration("60s")
    """By how much the clocks of issuers may differ from this one's."""
    required: Annotated[list[tuple[Claim, _Value]], Reads(_required, HEADERS_SCHEMA, only=True)] = Field(
        default_factory=list
    )
    """Claims that a token must have, all of them: of each the text, or texts of which it is or has one."""
    from_headers: Annotated[
        list[ChangeableRequestFieldName], Field(max_length=10), Reads(one_or_more, "item")
    ] = Field(default_factory=lambda: ["authorization"])
    """Fields that the token may be in. In `Authorization` it stands behind `Bearer`, in others it may."""
    from_cookies: Annotated[list[CookieName], Field(max_length=10), Reads(one_or_more, "item")] = Field(
        default_factory=list
    )
    """Cookies that it may be in."""
    from_query: Annotated[list[QueryName], Field(max_length=10), Reads(one_or_more, "item")] = Field(
        default_factory=list
    )
    """Parameters of the query that it may be in. URLs are kept in many places: prefer a field."""
    forward: Flag = False
    """Whether endpoints get the token; else it is taken out of wherever it was."""
    roles: _Paths = Field(default_factory=lambda: ["roles"])
    """Claims with the roles of who calls: a name, or a path such as `/realm_access/roles`."""
    scopes: _Paths = Field(default_factory=lambda: ["scope", "scp"])
    """Claims with the scopes: lists, or texts with blanks between them."""
    realm: Annotated[str, Rule(_realm, "name of what is protected")] = "api"
    """What is protected, as refused clients are told."""

    elsewhere: ClassVar[dict[str, str]] = {
        **dict.fromkeys(
            ("issuer", "jwks_url", "jwks_uri", "jwks", "secret", "audiences", "algorithms"),
            "write it in an item of `issuers`",
        ),
        "providers": "write `issuers`",
        "leeway": "write `clock_skew`",
        "from_params": "write `from_query`",
        "header_names": "write `from_headers`",
        "cookie_names": "write `from_cookies`",
        "uri_param_names": "write `from_query`",
        "claims": "write `required`, or a policy `authorize` with `claims`",
        "forward_payload_header": "write `forward: true`, or a policy `forward_identity`",
    }

    @model_validator(mode="after")
    def _tokens_come_somewhere(self) -> Jwt:
        if not (self.from_headers or self.from_cookies or self.from_query):
            raise refuse("takes no tokens; write `from_headers`, `from_cookies` or `from_query`", "rule")
        return self

    @model_validator(mode="after")
    def _issuers_are_told_apart(self) -> Jwt:
        names = [each.issuer for each in self.issuers]
        if len(names) > 1 and None in names:
            raise refuse(
                "has several issuers, and one has no `issuer`: a token would not say whose it is", "rule"
            )
        for name in names:
            if names.count(name) > 1:
                raise refuse(f"has the issuer `{name}` twice; give one of them all its audiences", "rule")
        return self

    def redacted(self) -> tuple[list[str], list[str]]:
        """Fields and parameters that may have a token."""
        return [*self.from_headers, *(["cookie"] if self.from_cookies else [])], list(self.from_query)
