# SPDX-License-Identifier: Apache-2.0
"""Settings of `request_headers`: good and bad."""

import pytest

from tidegate.config.problem import ConfigError
from tidegate.policies.request_headers import RequestHeaders, Settings


def test_names_are_lower_case_and_lists_are_several_fields() -> None:
    assert Settings is RequestHeaders
    policy = RequestHeaders(set={"X-A": "1"}, add={"X-B": ["2", "3"]}, remove=["X-C"])
    assert (policy.set, policy.add, policy.remove) == ([("x-a", "1")], [("x-b", "2"), ("x-b", "3")], ["x-c"])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "changes nothing"),
        ({"set": {"x y": "1"}}, "is no field name"),
        ({"set": {"x": "a\nb"}}, "is no field value"),
        ({"set": {"x": 1}}, "must be text; put `1` in quotes"),
        ({"set": ["x"]}, "set"),
        ({"add": "x"}, "must be a mapping from names to values"),
        ({"remove": "x"}, "must be a list"),
        ({"set": {"Content-Length": "1"}}, "can not be changed by a policy"),
        ({"remove": ["Content_Length"]}, "can not be changed by a policy"),
        ({"sett": {}}, "did you mean `set`"),
    ],
)
def test_what_makes_no_field_is_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        RequestHeaders(**settings)


@pytest.mark.parametrize("name", ["X-Forwarded-For", "x_forwarded_for", "forwarded", "X-Request-Id"])
def test_forwarding_fields_are_tidegates_own(name: str) -> None:
    with pytest.raises(ConfigError, match="is written by tidegate itself"):
        RequestHeaders(set={name: "x"})
