# SPDX-License-Identifier: Apache-2.0
"""Settings of `maglev`: good and bad."""

import pytest

from tidegate.balancing.maglev import Maglev, Settings
from tidegate.config.backend import Backend
from tidegate.config.problem import ConfigError


def test_the_table_has_the_prime_after_65536_unless_said() -> None:
    assert Settings is Maglev
    assert Maglev().table_size == 65_537
    assert Backend(balancing="maglev").balancing == Maglev()


@pytest.mark.parametrize("size", [101, 5_000_011])
def test_primes_within_bounds_are_kept(size: int) -> None:
    assert Maglev(table_size=size).table_size == size


@pytest.mark.parametrize(
    ("size", "says"),
    [
        (65_536, "must be a prime; the next one is 65537"),
        (97, "must be at least 101"),
        (5_000_021, "must be at most 5000011"),
        ("101", "whole number"),
    ],
)
def test_other_sizes_are_refused(size: object, says: str) -> None:
    with pytest.raises(ConfigError, match=f"table_size: .*{says}"):
        Backend(balancing={"type": "maglev", "table_size": size})
