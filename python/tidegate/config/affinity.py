# SPDX-License-Identifier: Apache-2.0
"""Sessions that stay at one endpoint: `affinity` of a backend."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field, model_validator

from tidegate.config.base import Model, refuse
from tidegate.config.names import field_name, token
from tidegate.config.secret import Secret
from tidegate.config.types import Choice, Duration, Flag, PathText, Text

AffinityKind = Annotated[
    Literal["cookie", "header", "credential", "claim", "address"],
    Choice("AffinityKind", doc="What makes requests one session."),
]
CookieSecure = Annotated[
    Literal["auto", "always", "never"], Choice("CookieSecure", doc="When a cookie is `Secure`.")
]
SameSite = Annotated[
    Literal["lax", "strict", "none"],
    Choice("SameSite", doc="Which requests from other sites carry a cookie."),
]
_NAMES: Final = {"cookie": "tidegate", "credential": "authorization", "claim": "sub"}
_LEAST_KEY: Final = 16
_LONGEST_CLAIM: Final = 256
_COOKIE_ONLY: Final = ("keys", "path", "secure", "http_only", "same_site", "max_age")


class Affinity(Model):
    """Requests of one session go to one endpoint for as long as it lives. A text alone is `by`."""

    short_forms: ClassVar[tuple[Any, ...]] = ({"type": "string"},)

    by: AffinityKind
    """`cookie` sets one that names the endpoint to gateways alone; `header`, `credential`, `claim` and
    `address` send what is alike to the same endpoint, and need no cookie. `claim` is read from the JSON Web
    Token of `Authorization: Bearer`, and not verified: it keeps sessions together and admits nobody."""
    name: Text | None = None
    """Of the cookie, `tidegate` without it; of the field, with `credential` `Authorization` without it; or of
    the claim, `sub` without it."""
    keys: Annotated[list[Secret], Field(max_length=8)] = Field(default_factory=list)
    """Secrets that sign the cookie, at least 16 characters each: the first signs, all are accepted. Without
    any this instance makes one of its own, which other gateways do not know."""
    path: PathText = "/"
    """Where clients send the cookie."""
    secure: CookieSecure = "auto"
    """Whether clients send it over TLS alone; `auto` if it is set over TLS."""
    http_only: Flag = True
    """Whether scripts can not read it."""
    same_site: SameSite = "lax"
    """Which requests from other sites carry it."""
    max_age: Duration | None = None
    """How long clients keep it; until they end without it."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        value = {"by": value} if isinstance(value, str) else value
        if isinstance(value, dict) and "name" not in value and value.get("by") in _NAMES:
            return {**value, "name": _NAMES[value["by"]]}
        return value

    @model_validator(mode="after")
    def _fits(self) -> Affinity:
        if self.by == "header" and self.name is None:
            raise refuse("needs the `name` of the field, such as `{ by: header, name: X-Tenant }`", "rule")
        if self.by == "address" and self.name is not None:
            raise refuse("`name` means nothing to `by: address`; leave it out", "rule")
        if self.by in ("header", "credential") and self.name is not None:
            field_name(self.name)
        if self.by == "cookie" and self.name is not None:
            token(self.name)
        if self.by == "claim" and not 1 <= len(self.name or "") <= _LONGEST_CLAIM:
            raise refuse("the name of a claim has 1 to 256 characters", "rule")
        if self.by != "cookie":
            for key in _COOKIE_ONLY:
                if key in self.model_fields_set:
                    raise refuse(f"`{key}` means nothing to `by: {self.by}`, which sets no cookie", "rule")
        if any(len(key.reveal()) < _LEAST_KEY for key in self.keys):
            raise refuse(
                "`keys` need at least 16 characters each: whoever guesses one can choose an endpoint; "
                "`openssl rand -base64 32` makes one", "rule",
            )  # fmt: skip
        if self.same_site == "none" and self.secure == "never":
            raise refuse(
                "`same_site: none` is ignored by browsers without `secure`; leave `secure` out", "rule"
            )
        return self
