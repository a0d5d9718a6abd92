# SPDX-License-Identifier: Apache-2.0
"""Settings of `http`: good and bad."""

import pytest
import yaml

from tidegate.config.backend import Backend
from tidegate.config.problem import ConfigError
from tidegate.health.http import HttpCheck, Settings


def test_the_pace_is_that_of_the_design() -> None:
    assert Settings is HttpCheck
    check = HttpCheck()
    assert (check.interval, check.timeout, check.healthy_after, check.unhealthy_after) == (5000, 2000, 2, 3)
    assert Backend(health_check="http").health_check == check


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"interval": 5}, "5 has no unit"),
        ({"interval": "0s"}, "must be longer than 0"),
        ({"timeout": "never"}, "is no duration"),
        ({"healthy_after": 0}, "must be at least 1"),
        ({"unhealthy_after": 101}, "must be at most 100"),
        ({"quick_interval": "0s"}, "must be longer than 0"),
        ({"intervall": "5s"}, "did you mean `interval`"),
    ],
)
def test_a_bad_pace_is_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        HttpCheck(**settings)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"path": "healthz"}, "write `/healthz`"),
        ({"path": "/a?b c"}, "must be escaped"),
        ({"host": "http://a"}, "is more than a host"),
        ({"statuses": []}, "must not be empty"),
        ({"statuses": [199]}, "must be at least 200"),
        ({"statuses": [600]}, "must be at most 599"),
        ({"statuses": ["2xx"]}, "write one such as `200-299`"),
        ({"statuses": ["300-299"]}, "is no range of statuses"),
        ({"method": "CONNECT"}, "`CONNECT` is always refused"),
        ({"headers": {"Host": "a"}}, "headers"),
        ({"body": ""}, "body"),
        ({"body_within": "2MiB"}, "must be at most 1MiB"),
    ],
)
def test_what_makes_no_request_is_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        HttpCheck(**settings)


def test_a_path_alone_is_answered_with_the_whole_form() -> None:
    with pytest.raises(ConfigError) as refused:
        Backend(health_check="/healthz?deep=1")
    (problem,) = refused.value.problems
    assert problem.message == 'a text alone is a type; write `{ type: http, path: "/healthz?deep=1" }`'
    whole = yaml.safe_load(problem.message.split("`")[1])
    assert Backend(health_check=whole).health_check == HttpCheck(path="/healthz?deep=1")
    with pytest.raises(ConfigError, match="no such type `httpx`; did you mean `http`"):
        Backend(health_check="httpx")
    with pytest.raises(ConfigError, match="no such type `/healthz`"):
        Backend(balancing="/healthz")


def test_path_and_host_have_one_spelling() -> None:
    check = HttpCheck(path="//health?deep=1", host="Shop.Example:80")
    assert (check.path, check.host) == ("/health?deep=1", "shop.example:80")


def test_a_range_of_statuses_has_both_ends() -> None:
    assert HttpCheck(statuses=[204, "200-202", 201]).statuses == [204, 200, 201, 202]
