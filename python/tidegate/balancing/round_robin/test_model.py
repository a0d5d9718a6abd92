# SPDX-License-Identifier: Apache-2.0
"""Settings of `round_robin`: good and bad."""

import pytest

from tidegate.balancing.round_robin import RoundRobin, Settings
from tidegate.config.backend import Backend
from tidegate.config.problem import ConfigError


def test_it_has_no_settings() -> None:
    assert Settings is RoundRobin
    assert set(RoundRobin.model_fields) == {"type"}
    with pytest.raises(ConfigError, match="choices: no such setting"):
        RoundRobin(choices=2)  # type: ignore[call-arg]


def test_its_name_alone_is_enough() -> None:
    assert Backend(balancing="round_robin").balancing == RoundRobin()
