# SPDX-License-Identifier: Apache-2.0
"""Settings of `basic`: good and bad."""

from typing import Any

import pytest

from tidegate.config.problem import ConfigError
from tidegate.config.secret import Secret
from tidegate.policies.basic import Basic, BasicUser, Settings

ARGON = "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$PaW1JeHTZd8dhc4zuE+1AmuaZLGiGKDsgi4ekfSBuzg"
BCRYPT = "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"


def test_users_stand_in_the_settings_or_in_a_file() -> None:
    assert Settings is Basic
    policy = Basic(users=[{"name": "anna", "password": ARGON, "roles": "reader"}])
    assert policy.users == [BasicUser(name="anna", password=ARGON, roles=["reader"])]
    assert (policy.attempts, int(policy.window), policy.forward) == (10, 60_000, False)
    text = Secret(f"# ours\nanna:{ARGON}\n\nberta:{BCRYPT}\n", "file:users")
    policy = Basic(users=[{"name": "anna", "roles": ["reader"]}], htpasswd=text)
    assert ARGON not in repr(policy) and "htpasswd" in repr(policy)
    assert policy.redacted() == (["authorization"], [])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "lets nobody in"),
        ({"htpasswd": ""}, "`htpasswd` has no user"),
        ({"htpasswd": "# none"}, "`htpasswd` has no user"),
        ({"htpasswd": "anna"}, "`htpasswd` line 1 has no hash"),
        ({"htpasswd": f"a:{BCRYPT}\na:{BCRYPT}"}, "line 2: the user is there twice"),
        ({"htpasswd": f"\n:{BCRYPT}"}, "line 2: a user's name has"),
        ({"htpasswd": "a:$apr1$salt$qMIZZyYCa1Z5gYKqfxaqu/"}, "line 1 has no hash that is good enough"),
        ({"htpasswd": BCRYPT.replace("$05$", "$16$").join(["a:", ""])}, "line 1 has no hash"),
        ({"users": [{"name": "anna"}]}, "`anna` has no password"),
        ({"users": [{"name": "anna", "password": "secret"}]}, "is no hash of a password"),
        ({"users": [{"name": "an:na", "password": ARGON}]}, "a user's name has"),
        ({"users": [{"name": "a", "password": ARGON}] * 2}, "two users are called `a`"),
        ({"users": [{"name": "a", "password": ARGON}], "htpasswd": f"a:{BCRYPT}"}, "keep one"),
        ({"users": [{"username": "a"}]}, "write `name`"),
        ({"users": [{"name": "a", "password": ARGON}], "realm": 'a"b'}, "a realm has"),
        ({"users": [{"name": "a", "password": ARGON}], "attempts": 0}, "must be at least 1"),
        ({"file": "x"}, "write `htpasswd"),
    ],
)
def test_what_would_let_nobody_in_or_the_wrong_ones_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Basic(**settings)


def test_a_password_is_not_repeated_in_a_message() -> None:
    for settings in ({"htpasswd": "anna:geheim"}, {"users": [{"name": "anna", "password": "geheim"}]}):
        with pytest.raises(ConfigError) as refused:
            Basic(**settings)
        assert "geheim" not in str(refused.value)
