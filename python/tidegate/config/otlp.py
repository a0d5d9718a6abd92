# SPDX-License-Identifier: Apache-2.0
"""Where spans and metrics are sent: section `gateway.otlp`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from tidegate.config.base import Model, refuse
from tidegate.config.types import ChangeableFieldName, Duration, Flag, Rule, SecretFieldValue


def collector_url(text: str) -> str:
    """A collector's base URL without a slash at its end: `http://host:port`, with or without a path.

    Raises:
        ValueError: Another scheme, no host or port, or a query.
    """
    parts = urlsplit(text)
    if parts.scheme == "https":
        raise ValueError(
            "`https://` is not spoken to collectors; send to one nearby, which speaks TLS onwards"
        )
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme != "http" or not parts.hostname or not port or parts.query or parts.fragment:
        raise ValueError(f"`{text}` is no URL of a collector; write `http://host:4318`")
    if parts.username is not None or not text.isascii() or any(not letter.isprintable() for letter in text):
        raise ValueError("a collector's URL has no user and no blanks; `headers` take credentials")
    return text.rstrip("/")


class OtlpHeader(Model):
    """A field of the requests to the collector."""

    name: ChangeableFieldName
    """Its name."""
    value: SecretFieldValue
    """Its value, which may come from `${...}`."""


class Otlp(Model):
    """Spans and metrics for an OpenTelemetry collector, as JSON over HTTP. A text alone is the URL."""

    short_forms: ClassVar[tuple[Any, ...]] = ({"type": "string"},)
    elsewhere: ClassVar[dict[str, str]] = {
        "endpoint": "write `url`",
        "sampling": "write `one_in: 10` for one request of ten",
        "protocol": "JSON over HTTP is the one there is; leave it out",
    }

    url: Annotated[str, Rule(collector_url, "`http://host:port`, with or without a path", "^http://")]
    """The collector, such as `http://localhost:4318`; `/v1/traces` and `/v1/metrics` are added."""
    headers: list[OtlpHeader] = Field(default_factory=list)
    """Fields to send along."""
    traces: Flag = True
    """Whether requests that are sampled become spans, and endpoints are told so in `traceparent`."""
    one_in: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] = 1
    """Of how many requests without `traceparent` one is sampled; the others are as theirs says."""
    metrics: Flag = True
    """Whether what `/metrics` has is sent."""
    interval: Duration = Duration("15s")
    """How often metrics are sent."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str) else value

    @field_validator("interval", mode="after")
    @classmethod
    def _not_too_often(cls, interval: Duration) -> Duration:
        if interval < Duration("100ms"):
            raise refuse("must be at least 100ms: every sending has all metrics", "rule")
        return interval
