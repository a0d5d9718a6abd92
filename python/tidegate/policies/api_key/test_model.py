# SPDX-License-Identifier: Apache-2.0
"""Settings of `api_key`: good and bad; keys, and the file of their owners."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tidegate.config.problem import ConfigError
from tidegate.policies.api_key import ApiKey, ApiKeyOwner, Settings
from tidegate.policies.api_key.file import listed
from tidegate.policies.api_key.key import check, hash_of, is_whole, new_key, prefix

KEY = "tg_cs1cdfAIW77s20mqZaXHevUnGgwyIASN4firbE"
HASH = "sha256:bd95682531c8035ed463adefb2baaf2673b44b1c10789a37a032705f64f4f909"
OTHER = hash_of("other")


def owner(**more: Any) -> dict[str, Any]:
    return {"subject": "a", "keys": HASH, **more}


def test_short_forms_mean_the_long_ones() -> None:
    assert Settings is ApiKey
    short = ApiKey(owners=[owner(roles="reader", claims={"plan": "gold"})])
    key = {"hash": HASH.upper().replace("SHA", "sha"), "expires": None}
    long = {"subject": "a", "keys": [key], "roles": ["reader"], "claims": [("plan", "gold")]}
    assert short == ApiKey(header="X-API-Key", owners=[long], prefix="tg", forward=False)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("1970-01-02", 86_400),
        ("1970-01-01T01:00:00Z", 3_600),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1960-01-01", 0),
    ],
)
def test_a_key_expires_at_a_moment(written: str, seconds: int) -> None:
    made = ApiKeyOwner(subject="a", keys=[{"hash": HASH, "expires": written}])
    assert made.keys[0].expires == seconds


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "knows no keys"),
        ({"owners": [owner()], "header": None}, "takes no key from anywhere"),
        ({"owners": [owner()], "header": "Authorization"}, "write `authorization: apikey` or `bearer`"),
        ({"owners": [owner()], "header": "Host"}, "can not be changed by a policy"),
        ({"owners": [owner()], "authorization": "basic"}, "is not one of them"),
        ({"owners": [owner()], "prefix": "TG"}, "is no prefix"),
        ({"owners": [owner(keys=KEY)]}, "is a key itself"),
        ({"owners": [owner(keys="sha256:00")]}, "is no hash of a key"),
        ({"owners": [owner(keys=[])]}, "must not be empty"),
        ({"owners": [owner(keys=[HASH, OTHER, hash_of("third")])]}, "has at most 2"),
        ({"owners": [owner(keys=[{"hash": HASH, "expires": "soon"}])]}, "is no time"),
        ({"owners": [owner(keys=[{"hash": HASH, "expires": "2027-01-01T00:00:00"}])]}, "says no offset"),
        ({"owners": [owner(roles=["a b"])]}, "without blanks"),
        ({"owners": [owner(subject=" a")]}, "printable characters"),
        ({"owners": [owner(claims={"plan": 1})]}, "must be text; put `1` in quotes"),
        ({"owners": [owner(metadata={})]}, "write `claims`"),
        ({"keys": []}, "write `owners"),
    ],
)
def test_what_would_let_nobody_in_or_the_wrong_ones_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        ApiKey(**settings)


def test_a_key_is_not_repeated_in_a_message() -> None:
    with pytest.raises(ConfigError) as refused:
        ApiKey(owners=[owner(keys=KEY)])
    assert KEY not in str(refused.value)


def test_keys_have_a_prefix_random_characters_and_a_check() -> None:
    keys = {new_key("shop") for _ in range(100)}
    assert len(keys) == 100
    for key in keys:
        assert is_whole(key) and key.startswith("shop_") and len(key) == 43
        assert not is_whole(key[:-1]) and not is_whole(key.replace("shop", "shot"))
    # CRC-32 of nothing is 0, and its largest value needs all six digits.
    assert check("") == "000000"
    assert is_whole(KEY) and hash_of(KEY) == HASH
    assert [prefix(text) for text in ("a", "shop_live2")] == ["a", "shop_live2"]
    for text in ("", "_a", "a_", "1a", "A", "a" * 21):
        with pytest.raises(ValueError, match="is no prefix"):
            prefix(text)


def test_owners_come_from_a_file_as_well(tmp_path: Path) -> None:
    file = tmp_path / "keys.jsonl"
    file.write_text(json.dumps({"subject": "b", "keys": [OTHER], "scopes": "x"}) + "\n\n")
    policy = ApiKey(owners=[owner()], file="keys.jsonl")
    texts, wrong = policy.read(tmp_path)
    assert wrong == [] and list(policy.files(tmp_path)) == [file]
    found = json.loads(texts["owners"])
    assert [each["subject"] for each in found] == ["a", "b"]
    assert found[1] == {
        "subject": "b",
        "keys": [{"hash": OTHER, "expires": None}],
        "roles": [],
        "scopes": ["x"],
        "claims": [],
        "disabled": False,
    }


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"subject": "b"}', "`keys.jsonl` line 2: keys: is missing"),
        (b'{"subject": "b", "keys": "%s"}' % KEY.encode(), "line 2: keys.0.hash: is a key itself"),
        (
            b'{"subject": "b", "keys": "%s"}' % HASH.encode(),
            "stands at owners.0. already; a key has one owner",
        ),
        (b'{"subject": "a", "keys": "%s"}' % OTHER.encode(), '"a" stands at owners.0. already'),
        (b"subject: b", "is no line of JSON"),
        (b"[]", "line 2: must be a mapping"),
        (b"\xff", "is no line of JSON"),
    ],
)
def test_a_line_that_is_wrong_is_told(line: bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / "keys.jsonl"
    file.write_bytes(b"\n" + line + b"\n")
    _, wrong = listed([ApiKeyOwner(**owner())], file)
    assert len(wrong) == 1
    assert re.search(says, wrong[0]), wrong


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    _, wrong = listed([], tmp_path / "none.jsonl")
    assert wrong == ["`none.jsonl`: can not be read: no such file or directory"]
