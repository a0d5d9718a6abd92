# SPDX-License-Identifier: Apache-2.0
"""Settings of `cors`: good and bad."""

import pytest

from tidegate.config.problem import ConfigError
from tidegate.policies.cors import Cors, Settings


def test_what_is_told_without_a_word_more_than_whose_pages() -> None:
    assert Settings is Cors
    policy = Cors(origins="https://Shop.Test:443")
    assert policy.origins == ["https://shop.test"]
    assert policy.methods == ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
    assert policy.headers == ["content-type", "authorization"]
    assert (policy.exposed, policy.credentials, str(policy.max_age)) == ([], False, "10m")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "origins"),
        ({"origins": []}, "must not be empty"),
        ({"origins": "shop.test"}, "is no origin; write `https://name`"),
        ({"origins": "https://shop.test/"}, "is no origin"),
        ({"origins": "null"}, "is no origin"),
        ({"origins": "https://*shop.test"}, "has a `[*]` inside"),
        ({"origins": "https://*.*.test"}, "has a `[*]` inside"),
        ({"origins": "same"}, "need no leave"),
        ({"origins": ["*", "https://shop.test"]}, "leave the others out"),
        ({"origins": "*", "credentials": True}, "browsers take no `[*]`; write the `origins` that may"),
        (
            {"origins": "https://a.test", "credentials": True, "exposed": "*"},
            "write the names in `exposed`",
        ),
        ({"origins": "https://a.test", "credentials": True, "methods": "*"}, "write the `methods`"),
        ({"origins": "https://a.test", "methods": ["TRACE"]}, "`TRACE` is always refused"),
        ({"origins": "https://a.test", "methods": []}, "must not be empty"),
        ({"origins": "https://a.test", "headers": ["x y"]}, "is no field name"),
        ({"allow_origins": ["https://a.test"]}, "write `origins`"),
        ({"origins": "https://a.test", "allow_methods": ["GET"]}, "write `methods`"),
    ],
)
def test_what_browsers_would_not_take_is_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Cors(**settings)
