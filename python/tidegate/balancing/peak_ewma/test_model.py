# SPDX-License-Identifier: Apache-2.0
"""Settings of `peak_ewma`: good and bad."""

import pytest

from tidegate.balancing.peak_ewma import PeakEwma, Settings
from tidegate.config.backend import Backend
from tidegate.config.problem import ConfigError


def test_it_forgets_over_ten_seconds_unless_said() -> None:
    assert Settings is PeakEwma
    assert (PeakEwma().decay, PeakEwma().failure) == (10_000, 1_000)
    assert Backend(balancing="peak_ewma").balancing == PeakEwma()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"decay": "0s"}, "decay: must be longer than 0"),
        ({"decay": 10}, "decay: 10 has no unit"),
        ({"failure": "soon"}, "failure: "),
        ({"choices": 2}, "choices: no such setting"),
    ],
)
def test_other_settings_are_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Backend(balancing={"type": "peak_ewma", **settings})
