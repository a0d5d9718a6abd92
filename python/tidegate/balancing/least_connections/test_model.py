# SPDX-License-Identifier: Apache-2.0
"""Settings of `least_connections`: good and bad."""

import pytest

from tidegate.balancing.least_connections import LeastConnections, Settings
from tidegate.config.backend import Backend
from tidegate.config.problem import ConfigError


def test_it_has_no_settings() -> None:
    assert Settings is LeastConnections
    assert set(LeastConnections.model_fields) == {"type"}
    with pytest.raises(ConfigError, match="choices: no such setting"):
        LeastConnections(choices=2)  # type: ignore[call-arg]


def test_its_name_alone_is_enough() -> None:
    assert Backend(balancing="least_connections").balancing == LeastConnections()


def test_a_hash_means_nothing_to_it() -> None:
    with pytest.raises(ConfigError, match="write `balancing: ring_hash` or `maglev`"):
        Backend(balancing="least_connections", hash="client")
