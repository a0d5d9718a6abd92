# SPDX-License-Identifier: Apache-2.0
"""Settings of `least_request`: good and bad."""

import pytest

from tidegate.balancing.least_request import LeastRequest, Settings
from tidegate.config.backend import Backend
from tidegate.config.problem import ConfigError


def test_two_endpoints_are_compared_unless_said() -> None:
    assert Settings is LeastRequest
    assert LeastRequest().choices == 2
    assert Backend().balancing == LeastRequest()


@pytest.mark.parametrize("choices", [2, 8])
def test_choices_within_bounds_are_kept(choices: int) -> None:
    assert LeastRequest(choices=choices).choices == choices


@pytest.mark.parametrize(
    ("choices", "says"),
    [
        (1, "must be at least 2"),
        (9, "must be at most 8"),
        ("2", "must be a whole number"),
        (2.5, "whole number"),
    ],
)
def test_choices_out_of_bounds_are_refused(choices: object, says: str) -> None:
    with pytest.raises(ConfigError, match=f"choices: .*{says}"):
        LeastRequest(choices=choices)
