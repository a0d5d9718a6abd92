# SPDX-License-Identifier: Apache-2.0
"""Settings of `ring_hash`: good and bad."""

import pytest

from tidegate.balancing.ring_hash import RingHash, Settings
from tidegate.config.backend import Backend
from tidegate.config.problem import ConfigError


def test_the_load_is_bounded_unless_said() -> None:
    assert Settings is RingHash
    assert (RingHash().ring_size, RingHash().load_bound_percent) == (32_768, 125)
    assert RingHash(load_bound_percent=None).load_bound_percent is None
    assert Backend(balancing="ring_hash").balancing == RingHash()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"ring_size": 15}, "ring_size: .*at least 16"),
        ({"ring_size": 1_048_577}, "ring_size: .*at most 1048576"),
        ({"load_bound_percent": 100}, "load_bound_percent: .*at least 101"),
        ({"load_bound_percent": 1.25}, "load_bound_percent: .*whole number"),
        ({"load_bound": 125}, "load_bound: no such setting; did you mean `load_bound_percent`"),
    ],
)
def test_settings_out_of_bounds_are_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Backend(balancing={"type": "ring_hash", **settings})
