# SPDX-License-Identifier: Apache-2.0
"""What changes the weights of endpoints while they run: slow start and the load that they report."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from tidegate.config.base import Model
from tidegate.config.types import Duration, FieldName, FilePath, Handler, Rule


def metric_name(text: str) -> str:
    """A metric of a load report: `cpu_utilization`, or `named_metrics.queue`.

    Raises:
        ValueError: It is none; the text says why.
    """
    parts = text.split(".", 1)
    if not all(part and all(33 <= ord(char) < 127 and char not in '=,"' for char in part) for part in parts):
        raise ValueError("a metric is a name such as `cpu_utilization` or `named_metrics.queue`")
    return text


class SlowStart(Model):
    """How endpoints come to their full weight little by little. A duration alone is how long that takes."""

    short_forms: ClassVar[tuple[Any, ...]] = ({"type": "string"},)

    duration: Duration
    """From its first request to its full weight."""
    from_percent: Annotated[int, Field(ge=1, le=100, strict=True)] = 10
    """The part of its weight that it begins with; it grows evenly from there."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return value if isinstance(value, dict | SlowStart) else {"duration": value}


class LoadReport(Model):
    """Endpoints report their load in a field of their responses, and those with capacity left get more."""

    header: FieldName = "endpoint-load-metrics"
    """The response field or trailer: a number, or an ORCA report as `TEXT` or `JSON`; binary reports are
    in this name and `-bin`. The client never sees either."""
    metric: Annotated[str, Rule(metric_name, "name of a metric")] = "cpu_utilization"
    """The metric of an ORCA report that counts, such as `mem_utilization` or `named_metrics.queue`."""
    smoothing: Duration = Duration("5s")
    """The time in which about two thirds of what was reported before are forgotten."""
    expire_after: Duration = Duration("30s")
    """An endpoint that reports nothing for so long has its configured weight again."""
    most: Annotated[int, Field(ge=1, le=100, strict=True)] = 4
    """The weight is multiplied by at most this and divided by at most this, whatever is reported."""


class ComputedWeights(Model):
    """Weights that a Python function marked by `@tidegate.weights` computes. A text alone is the handler."""

    short_forms: ClassVar[tuple[Any, ...]] = ({"type": "string"},)

    handler: Handler
    """The function: `package.module:attribute`. It runs in a process of its own, never on a request's way."""
    path: FilePath | None = None
    """The folder its code is imported from, relative to the file that says so; the file's own without it."""
    every: Duration = Duration("5s")
    """From one answer to the next question."""
    deadline: Duration = Duration("2s")
    """How long an answer may take; then its process is replaced, and the weights before stay."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"handler": value} if isinstance(value, str) else value
