# SPDX-License-Identifier: Apache-2.0
"""Settings of `dns`: good and bad."""

import pytest

from tidegate.config.backend import Backend
from tidegate.config.problem import ConfigError
from tidegate.discovery.dns import DnsDiscovery, Settings


def test_names_and_resolvers_have_one_spelling() -> None:
    assert Settings is DnsDiscovery
    found = DnsDiscovery(
        name="Shop.Internal.", port=80, resolvers=["10.0.0.1", "10.0.0.1:5353", "fd00::1", "[fd00::1]:54"]
    )
    assert found.name == "shop.internal"
    assert found.resolvers == ["10.0.0.1:53", "10.0.0.1:5353", "[fd00::1]:53", "[fd00::1]:54"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "needs a `port`"),
        ({"port": 80, "record": "srv"}, "SRV records have their own; leave it out"),
        ({"port": 80, "record": "txt"}, "record"),
        ({"port": 0}, "port"),
        ({"port": 80, "name": "a..b"}, "is no name in the DNS"),
        ({"port": 80, "name": "a b"}, "characters that names in the DNS do not have"),
        ({"port": 80, "resolvers": ["dns.test"]}, "write `IP` or `IP:port`"),
        ({"port": 80, "resolvers": ["10.0.0.1:0"]}, "no port from 1 to 65535"),
        ({"port": 80, "min_ttl": "10m"}, "longer than its `max_ttl`"),
        ({"port": 80, "timeout": "0s"}, "must be longer than 0"),
    ],
)
def test_what_makes_no_question_is_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Backend(discovery={"type": "dns", "name": "shop.internal", **settings})
