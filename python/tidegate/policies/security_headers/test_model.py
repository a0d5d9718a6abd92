# SPDX-License-Identifier: Apache-2.0
"""Settings of `security_headers`: good and bad."""

import pytest

from tidegate.config.problem import ConfigError
from tidegate.policies.security_headers import SecurityHeaders, Settings

FIELDS = ("content_type_options", "frame_options", "referrer_policy", "opener_policy", "resource_policy")


def test_each_has_a_default_and_can_be_switched_off() -> None:
    assert Settings is SecurityHeaders
    assert all(getattr(SecurityHeaders(), name) for name in FIELDS)
    for name in FIELDS:
        for off in (None, False):
            assert getattr(SecurityHeaders(**{name: off}), name) is None


def test_words_have_one_spelling() -> None:
    policy = SecurityHeaders(frame_options="deny", referrer_policy="No-Referrer", opener_policy="same-origin")
    assert (policy.frame_options, policy.referrer_policy) == ("DENY", "no-referrer")
    csp = "default-src 'self'; frame-ancestors 'none'"
    assert SecurityHeaders(content_security_policy=csp).content_security_policy == csp


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"frame_options": "ALLOW-FROM https://a.test"}, "is none of `DENY`, `SAMEORIGIN`"),
        ({"referrer_policy": "no-referer"}, "did you mean `no-referrer`"),
        ({"opener_policy": "none"}, "is none of `unsafe-none`"),
        ({"resource_policy": "same"}, "is none of `same-origin`"),
        ({"content_type_options": "sniff"}, "is none of `nosniff`"),
        ({"content_security_policy": "a\nb"}, "is no field value"),
        ({"permissions_policy": 1}, "must be text"),
        ({"hsts": True}, "write `tls: { hsts: ... }` on the listener"),
        ({"csp": "default-src 'self'"}, "write `content_security_policy`"),
        (dict.fromkeys(FIELDS), "says nothing"),
    ],
)
def test_what_browsers_would_ignore_is_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        SecurityHeaders(**settings)
