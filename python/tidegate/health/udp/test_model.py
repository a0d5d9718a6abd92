# SPDX-License-Identifier: Apache-2.0
"""Settings of `udp`: good and bad."""

import pytest

from tidegate.config.problem import ConfigError
from tidegate.health.udp import Settings, UdpCheck


def test_the_pace_is_that_of_the_design() -> None:
    assert Settings is UdpCheck
    check = UdpCheck(send="ping")
    assert (check.interval, check.timeout, check.healthy_after, check.unhealthy_after) == (5000, 2000, 2, 3)


@pytest.mark.parametrize("text", ["x", "PING\r\n", "é" * 512, "hex:00", "hex:" + "ff" * 1024])
def test_bytes_are_written_as_text_or_in_digits(text: str) -> None:
    assert UdpCheck(send=text, expect=text).send == text


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "send"),
        ({"send": ""}, "write 1 to 1,024 bytes"),
        ({"send": "x" * 1025}, "write 1 to 1,024 bytes"),
        ({"send": "hex:abc"}, "pairs of digits"),
        ({"send": "hex:"}, "pairs of digits"),
        ({"send": "hex:" + "ff" * 1025}, "write 1 to 1,024 bytes"),
        ({"send": "x", "expect": "hex:zz"}, "pairs of digits"),
        ({"send": "x", "tls": True}, "tls"),
    ],
)
def test_what_are_no_bytes_is_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        UdpCheck(**settings)
