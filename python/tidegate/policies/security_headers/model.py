# SPDX-License-Identifier: Apache-2.0
"""Settings of `security_headers`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import model_validator

from tidegate.config.base import refuse
from tidegate.config.marks import Reads, Rule
from tidegate.config.policy_settings import PolicySettings
from tidegate.config.suggest import did_you_mean
from tidegate.config.types import FieldValue, Flag

_FRAMES: Final = ("DENY", "SAMEORIGIN")
_REFERRERS: Final = (
    "no-referrer", "no-referrer-when-downgrade", "origin", "origin-when-cross-origin", "same-origin",
    "strict-origin", "strict-origin-when-cross-origin", "unsafe-url",
)  # fmt: skip
_OPENERS: Final = ("unsafe-none", "same-origin-allow-popups", "same-origin", "noopener-allow-popups")
_RESOURCES: Final = ("same-origin", "same-site", "cross-origin")


def _off(value: Any) -> Any:
    return None if value is False else value


def _one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    """The rule of a field that has one of a few words; browsers ignore any other without a sign."""
    spellings = {word.lower(): word for word in words}

    def read(text: str) -> str:
        if found := spellings.get(text.lower()):
            return found
        raise ValueError(
            f"`{text}` is none of {', '.join(f'`{word}`' for word in words)}{did_you_mean(text, words)}"
        )

    return read


def _words(words: tuple[str, ...]) -> Rule:
    return Rule(_one_of(words), " or ".join(f"`{word}`" for word in words))


_Off: Final = Reads(_off, {"const": False})
_NoSniff = Annotated[str, _words(("nosniff",))]
_Frames = Annotated[str, _words(_FRAMES)]
_Referrer = Annotated[str, _words(_REFERRERS)]
_Opener = Annotated[str, _words(_OPENERS)]
_Resource = Annotated[str, _words(_RESOURCES)]


class SecurityHeaders(PolicySettings):
    """Fields of responses tell browsers what not to do with them."""

    type: Literal["security_headers"] = "security_headers"
    """The room."""
    content_type_options: Annotated[_NoSniff | None, _Off] = "nosniff"
    """`X-Content-Type-Options`: a response is what its media type says, and is not guessed at."""
    frame_options: Annotated[_Frames | None, _Off] = "SAMEORIGIN"
    """`X-Frame-Options`: which pages may have it in a frame. For browsers `frame-ancestors` in a content
    security policy goes before it."""
    referrer_policy: Annotated[_Referrer | None, _Off] = "strict-origin-when-cross-origin"
    """`Referrer-Policy`: what other sites are told of the page that a request comes from."""
    opener_policy: Annotated[_Opener | None, _Off] = "same-origin-allow-popups"
    """`Cross-Origin-Opener-Policy`: whether pages of other sites that open it have a hold of its window. With
    `same-origin` windows that it opens, to log in or pay, have none of it either."""
    resource_policy: Annotated[_Resource | None, _Off] = "same-site"
    """`Cross-Origin-Resource-Policy`: whose pages may have it without CORS, as an image or a script."""
    permissions_policy: Annotated[FieldValue | None, _Off] = None
    """`Permissions-Policy`: `camera=(), geolocation=(self)`."""
    content_security_policy: Annotated[FieldValue | None, _Off] = None
    """`Content-Security-Policy`: `default-src 'self'; frame-ancestors 'none'`."""
    content_security_policy_report_only: Annotated[FieldValue | None, _Off] = None
    """`Content-Security-Policy-Report-Only`: one that is only tried."""
    replace: Flag = False
    """Whether it goes in the place of what an endpoint says under the same name; else that stays."""

    elsewhere: ClassVar[dict[str, str]] = {
        "hsts": "write `tls: { hsts: ... }` on the listener, which says it in every response",
        "strict_transport_security": "write `tls: { hsts: ... }` on the listener",
        "xss_protection": "browsers have no such filter any more; write a `content_security_policy`",
        "x_frame_options": "write `frame_options`",
        "x_content_type_options": "write `content_type_options`",
        "csp": "write `content_security_policy`",
        "frame_ancestors": "write it in `content_security_policy`: `frame-ancestors 'self'`",
        "cross_origin_opener_policy": "write `opener_policy`",
        "cross_origin_resource_policy": "write `resource_policy`",
    }

    @model_validator(mode="after")
    def _some(self) -> SecurityHeaders:
        fields = set(type(self).model_fields) - set(PolicySettings.model_fields) - {"type", "replace"}
        if not any(getattr(self, name) for name in fields):
            raise refuse("says nothing; leave the policy out, or leave one of its fields in", "rule")
        return self
