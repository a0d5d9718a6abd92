# SPDX-License-Identifier: Apache-2.0
"""Functions for weights: what may be one, and what may be configured."""

from typing import Any

import pytest

from tidegate import Backend, ConfigError, weights
from tidegate.control._weigh import Wrong, judged, load


def test_a_function_takes_the_endpoints_and_nothing_else() -> None:
    def one(endpoints: Any) -> dict[str, float]:
        return {}

    assert weights(one) is one
    weights(lambda endpoints, unit=1: {})
    with pytest.raises(TypeError, match="must take"):
        weights(lambda *, endpoints: {})
    with pytest.raises(TypeError, match="must take"):
        weights(lambda one, other: {})


def test_what_is_returned_is_judged() -> None:
    assert judged({"a:1": 2, "b:1": 0.5}, {"a:1", "b:1", "c:1"}) == {"a:1": 2.0, "b:1": 0.5}
    for answer in (
        {"x:1": 1},
        {"a:1": True},
        {"a:1": None},
        {"a:1": float("nan")},
        {"a:1": -1},
        [("a:1", 1)],
    ):
        with pytest.raises(Wrong):
            judged(answer, {"a:1"})


def test_what_is_not_there_or_not_marked_is_said() -> None:
    with pytest.raises(Wrong, match="importing nowhere:f failed"):
        load("nowhere:f")
    with pytest.raises(Wrong, match="no function for weights; write"):
        load("json:dumps")


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("shop.figures", "weights: `shop.figures` has no `:`; write `shop:figures`"),
        ({"every": "5s"}, "handler"),
        ({"handler": "a:b", "every": "0s"}, "every: must be longer than 0"),
        ({"handler": "a:b", "deadline": 2}, "deadline: 2 has no unit"),
        ({"handler": "a:b", "cron": "5"}, "cron: no such setting"),
    ],
)
def test_other_settings_are_refused(written: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Backend(weights=written)


@pytest.mark.parametrize(
    ("name", "written", "says"),
    [
        ("slow_start", "soon", "slow_start"),
        ("slow_start", {"duration": "30s", "from_percent": 0}, "from_percent: must be at least 1"),
        ("slow_start", {"from_percent": 10}, "duration"),
        ("load_report", {"header": "X Load"}, "header"),
        ("load_report", {"metric": "a=b"}, "a metric is a name such as `cpu_utilization`"),
        ("load_report", {"most": 101}, "most: must be at most 100"),
        ("load_report", {"smoothing": "0s"}, "smoothing: must be longer than 0"),
        ("load_report", {"ratio": 1}, "ratio: no such setting"),
    ],
)
def test_settings_of_weights_that_change_are_checked(name: str, written: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Backend(**{name: written})
