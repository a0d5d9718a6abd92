# SPDX-License-Identifier: Apache-2.0
"""Settings of `ip_allow`: good and bad."""

import pytest

from tidegate.config.problem import ConfigError
from tidegate.policies.ip_allow import IpAllow, Settings

LIST = "# the office\n\n192.0.2.0/24 ; first floor\n  2001:DB8:0::/32\n198.51.100.7\n198.51.100.7/32\n"


def test_networks_have_one_spelling_and_comments_go() -> None:
    assert Settings is IpAllow
    policy = IpAllow(addresses=["10.0.0.0/8", "2001:DB8::1"], file=LIST)
    assert policy.addresses == ["10.0.0.0/8", "2001:db8::1/128"]
    assert policy.file == "192.0.2.0/24\n2001:db8::/32\n198.51.100.7\n198.51.100.7/32\n"
    assert IpAllow(addresses="10.0.0.1").addresses == ["10.0.0.1/32"]


def test_every_line_is_judged_like_an_address_in_the_list() -> None:
    lines = ["0.0.0.0/0", "10.0.0.0/8", "10.0.0.1", "128.0.0.0/1", "::/0", "::1", "10.1.2.3/32"]
    policy = IpAllow(file="\n".join(lines))
    again = IpAllow(addresses=lines)
    assert policy.file is not None
    assert [line if "/" in line else f"{line}/32" for line in policy.file.split()] == again.addresses


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "names nobody; write `addresses`"),
        ({"addresses": []}, "names nobody"),
        ({"file": "# nobody\n"}, "a file without any would keep everybody out"),
        ({"addresses": ["10.0.0.1/8"]}, "has bits set behind its prefix; write `10.0.0.0/8`"),
        ({"addresses": ["::ffff:10.0.0.0/104"]}, "is IPv4 written as IPv6; write `10.0.0.0/8`"),
        ({"addresses": ["office"]}, "`office` is no network; write"),
        ({"file": "10.0.0.0/8\n\n10.0.0.1/8\n"}, "line 3: `10.0.0.1/8` has bits set .* write `10.0.0.0/8`"),
        ({"file": "10.0.0.0/8\n10.0.0.0/33\n"}, "line 2: `10.0.0.0/33` is no network"),
        (
            {"file": "10.0.0.0/8\n10.0.0.0/33\n1.1\ny\nz"},
            "line 2: .*; line 3: `1.1` .*; line 4 is no network .and 1 ",
        ),
        ({"file": "office.txt"}, "is no list of networks; .*{file:blocked.txt}"),
        ({"allow": ["10.0.0.0/8"]}, "write `addresses`"),
    ],
)
def test_what_is_no_list_is_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        IpAllow(**settings)
