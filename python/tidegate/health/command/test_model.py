# SPDX-License-Identifier: Apache-2.0
"""Settings of `command`: good and bad."""

import pytest

from tidegate.config.problem import ConfigError
from tidegate.health.command import CommandCheck, Settings


def test_a_command_is_program_and_arguments() -> None:
    assert Settings is CommandCheck
    assert CommandCheck(command=["/bin/true", "{address}"]).command == ["/bin/true", "{address}"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "command"),
        ({"command": []}, "must not be empty"),
        ({"command": "/bin/true"}, "command"),
        ({"command": ["a\0b"]}, "command"),
        ({"command": ["a"], "timeout": "0s"}, "must be longer than 0"),
    ],
)
def test_what_cannot_be_run_is_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        CommandCheck(**settings)
