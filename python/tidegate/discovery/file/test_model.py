# SPDX-License-Identifier: Apache-2.0
"""Settings of `file`: good and bad."""

import pytest

from tidegate.config.backend import Backend
from tidegate.config.problem import ConfigError
from tidegate.discovery.file import FileDiscovery, Settings


def test_a_path_is_enough() -> None:
    assert Settings is FileDiscovery
    backend = Backend(discovery={"type": "file", "path": "e.yaml"})
    assert backend.discovery == FileDiscovery(path="e.yaml")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("file", "is missing"),
        ({"type": "file", "path": ""}, "path"),
        ({"type": "file", "path": "e", "interval": "0s"}, "must be longer than 0"),
        ({"type": "consul"}, "does not exist yet in this version; there are `dns`, `file`"),
        ({"type": "fiel"}, "no such type `fiel`; did you mean `file`"),
    ],
)
def test_what_says_too_little_is_refused(settings: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Backend(discovery=settings)
