# SPDX-License-Identifier: Apache-2.0
"""Settings of `tcp`: good and bad."""

import pytest

from tidegate.config.backend import Backend
from tidegate.config.problem import ConfigError
from tidegate.health.tcp import Settings, TcpCheck


def test_the_pace_is_that_of_the_design() -> None:
    assert Settings is TcpCheck
    check = TcpCheck()
    assert (check.interval, check.timeout, check.healthy_after, check.unhealthy_after) == (5000, 2000, 2, 3)
    assert Backend(health_check="tcp").health_check == check


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"interval": 5}, "5 has no unit"),
        ({"interval": "0s"}, "must be longer than 0"),
        ({"timeout": "never"}, "is no duration"),
        ({"healthy_after": 0}, "must be at least 1"),
        ({"unhealthy_after": 101}, "must be at most 100"),
        ({"intervall": "5s"}, "did you mean `interval`"),
    ],
)
def test_a_bad_pace_is_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        TcpCheck(**settings)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"send": "PING"}, "write what comes back as `expect`"),
        ({"expect": ""}, "expect"),
        ({"expect": "a", "expect_within": "2MiB"}, "must be at most 1MiB"),
    ],
)
def test_what_can_never_be_well_is_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        TcpCheck(**settings)
