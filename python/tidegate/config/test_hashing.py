# SPDX-License-Identifier: Apache-2.0
"""A backend's `hash`: what may be written, and what is said of the rest."""

from typing import Any

import pytest

from tidegate.config.backend import Backend
from tidegate.config.hashing import HashPart
from tidegate.config.problem import ConfigError


def parts(value: Any) -> list[tuple[str, str]]:
    return [(part.kind, part.name) for part in Backend(balancing="maglev", hash=value).hash]


def test_the_client_is_hashed_unless_said() -> None:
    assert Backend(balancing="maglev").hash == [HashPart(kind="client")]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("path", [("path", "")]),
        ({"header": "X-User"}, [("header", "x-user")]),
        ({"cookie": "Session"}, [("cookie", "Session")]),
        ({"query": "a b"}, [("query", "a b")]),
        ({"claim": "https://a.test/tenant"}, [("claim", "https://a.test/tenant")]),
        (["host", {"query": "id"}], [("host", ""), ("query", "id")]),
        (HashPart(kind="host"), [("host", "")]),
    ],
)
def test_short_forms(written: Any, read: list[tuple[str, str]]) -> None:
    assert parts(written) == read


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("header", "`header` needs a name; write `{ header: name }`"),
        ("pth", "`pth` is nothing to hash; did you mean `path`"),
        ({"header": "X User"}, "X User"),
        ({"header": "Host"}, "`host` is not hashed as a header; write `host`"),
        ({"cookie": ""}, "hash"),
        ({"query": ""}, "1 to 256 characters"),
        ({"claim": "x" * 257}, "the name of a claim has 1 to 256 characters"),
        ({"query": 1}, "`1` is no name; put it in quotes"),
        ({"header": "a", "cookie": "b"}, "is nothing to hash; write `client`"),
        (7, "hash"),
        ([], "hash"),
        (["path"] * 9, "hash"),
    ],
)
def test_other_forms_are_refused(written: Any, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parts(written)
    assert says in str(refused.value)


def test_a_hash_that_no_balancer_reads_is_refused() -> None:
    with pytest.raises(ConfigError, match="means nothing to `balancing: least_request`; write"):
        Backend(hash="path")
