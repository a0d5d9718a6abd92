# SPDX-License-Identifier: Apache-2.0
"""Settings of `random`: good and bad."""

import pytest

from tidegate.balancing.random import Random, Settings
from tidegate.config.backend import Backend
from tidegate.config.problem import ConfigError


def test_it_has_no_settings() -> None:
    assert Settings is Random
    assert set(Random.model_fields) == {"type"}
    with pytest.raises(ConfigError, match="choices: no such setting"):
        Random(choices=2)  # type: ignore[call-arg]


def test_its_name_alone_is_enough() -> None:
    assert Backend(balancing="random").balancing == Random()


def test_a_hash_means_nothing_to_it() -> None:
    with pytest.raises(ConfigError, match="write `balancing: ring_hash` or `maglev`"):
        Backend(balancing="random", hash="client")
