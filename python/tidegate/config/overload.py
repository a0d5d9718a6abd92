# SPDX-License-Identifier: Apache-2.0
"""What keeps a backend from being asked too much, and sick endpoints from being asked at all."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from tidegate.config.base import Model, refuse
from tidegate.config.types import Duration, Flag


class RateOutliers(Model):
    """An endpoint is left out whose share of successes is far below that of the others."""

    deviations_percent: Annotated[int, Field(ge=0, le=1_000, strict=True)] = 190
    """How far: standard deviations below the mean of all, times 100."""
    requests: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] = 100
    """Requests that an endpoint must have had in the interval to be judged."""
    endpoints: Annotated[int, Field(ge=2, le=1_000, strict=True)] = 5
    """Endpoints that must have had so many."""


class LatencyOutliers(Model):
    """An endpoint is left out that takes far longer than the others to begin its answers."""

    factor_percent: Annotated[int, Field(ge=110, le=10_000, strict=True)] = 300
    """How far: its mean against the median of all, times 100."""
    requests: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] = 100
    """Answers that an endpoint must have given in the interval to be judged."""
    endpoints: Annotated[int, Field(ge=2, le=1_000, strict=True)] = 3
    """Endpoints that must have given so many."""
    least: Duration = Duration("10ms")
    """What is no slower than this is never left out."""


class PassiveHealth(Model):
    """Real traffic judges endpoints: broken connections and answers that do not come are failures."""

    enabled: Flag = True
    """Whether it does."""
    failures: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] = 5
    """Failures in a row that exclude an endpoint."""
    statuses: Annotated[list[Annotated[int, Field(ge=400, le=599, strict=True)]], Field(max_length=200)] = (
        Field(default_factory=list)
    )
    """Responses that are failures as well, such as `[502, 503, 504]`; clients get them all the same. Of a
    call of gRPC, what its status is in HTTP: `unavailable` 503, `deadline_exceeded` 504, `unknown`,
    `internal` and `data_loss` 500, `unimplemented` 501, `resource_exhausted` 429."""
    exclude_for: Duration = Duration("10s")
    """How long, for the first time; for the second in a row twice as long, and so on."""
    exclude_at_most: Duration = Duration("5m")
    """How long at most, or `exclude_for` if that is more."""
    max_excluded_percent: Annotated[int, Field(ge=0, le=99, strict=True)] = 50
    """The share of a backend's endpoints that may be excluded at a time; the last one never is."""
    interval: Duration = Duration("10s")
    """How often `success_rate` and `latency` judge, by what came in between."""
    success_rate: RateOutliers | None = None
    """Leaves out who fails more than the others; nobody without it."""
    latency: LatencyOutliers | None = None
    """Leaves out who is slower than the others; nobody without it."""

    elsewhere: ClassVar[dict[str, str]] = {
        "max_fails": "write `failures`",
        "consecutive_errors": "write `failures`",
        "consecutive_5xx": "write `failures`, and `statuses: [500, 502, 503, 504]`",
        "consecutive_gateway_failure": "write `failures`, and `statuses: [502, 503, 504]`",
        "fail_timeout": "write `exclude_for`",
        "base_ejection_time": "write `exclude_for`",
        "max_ejection_time": "write `exclude_at_most`",
        "max_ejection_percent": "write `max_excluded_percent`",
    }

    @model_validator(mode="before")
    @classmethod
    def _is_no_switch(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise refuse(f"must be a mapping; write `{{ enabled: {str(value).lower()} }}`")
        return value


class AdaptiveConcurrency(Model):
    """A limit of requests in flight at all endpoints together that follows the latency."""

    least: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] = 4
    """The least it may be, and what it is while the latency without load is measured."""
    most: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] = 1_000
    """The most it may be."""
    tolerance_percent: Annotated[int, Field(ge=100, le=1_000, strict=True)] = 150
    """How slow answers may be, against those without load, before the limit falls."""
    window: Duration = Duration("100ms")
    """How long answers are gathered for one step; longer if they are few."""
    measure_every: Duration = Duration("1m")
    """How often the latency without load is measured anew."""

    @model_validator(mode="after")
    def _ordered(self) -> AdaptiveConcurrency:
        if self.least > self.most:
            raise refuse("`least` is above `most`; write them the other way round", "rule")
        return self
