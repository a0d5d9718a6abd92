# SPDX-License-Identifier: Apache-2.0
"""Settings of `ip_hash`: good and bad."""

import pytest

from tidegate.balancing.ip_hash import IpHash, Settings
from tidegate.config.backend import Backend
from tidegate.config.problem import ConfigError


def test_whole_ipv4_addresses_and_ipv6_networks_count_unless_said() -> None:
    assert Settings is IpHash
    assert (IpHash().ipv4_prefix, IpHash().ipv6_prefix) == (32, 64)
    assert Backend(balancing="ip_hash").balancing == IpHash()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"ipv4_prefix": 33}, "ipv4_prefix: .*at most 32"),
        ({"ipv4_prefix": -1}, "ipv4_prefix: .*at least 0"),
        ({"ipv6_prefix": 129}, "ipv6_prefix: .*at most 128"),
        ({"ipv6_prefix": "64"}, "ipv6_prefix: .*whole number"),
    ],
)
def test_prefixes_that_no_address_has_are_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Backend(balancing={"type": "ip_hash", **settings})


def test_it_wants_no_hash() -> None:
    with pytest.raises(ConfigError, match="`hash` means nothing to `balancing: ip_hash`"):
        Backend(balancing="ip_hash", hash="client")
