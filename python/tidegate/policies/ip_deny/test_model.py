# SPDX-License-Identifier: Apache-2.0
"""Settings of `ip_deny`: good and bad."""

import pytest

from tidegate.config.problem import ConfigError
from tidegate.policies.ip_deny import IpDeny, Settings


def test_a_list_and_a_file() -> None:
    assert Settings is IpDeny
    policy = IpDeny(addresses=["10.0.0.0/8"], file="192.0.2.1 # a scanner\n")
    assert (policy.addresses, policy.file) == (["10.0.0.0/8"], "192.0.2.1\n")


def test_a_file_that_others_write_may_be_empty() -> None:
    assert IpDeny(file="# nobody today\n").file == ""


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "names nobody; write `addresses`"),
        ({"addresses": ["10.0.0.3-10.0.0.9"]}, "is no network; write"),
        ({"file": "192.0.2.1\n192.0.2.1/24"}, "line 2: .* write `192.0.2.0/24`"),
        ({"file": 7}, "must be text"),
        ({"deny": ["10.0.0.0/8"]}, "write `addresses`"),
    ],
)
def test_what_is_no_list_is_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        IpDeny(**settings)
