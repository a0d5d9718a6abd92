# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema for editors says of a file what the loader says."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tidegate.config.load import loads
from tidegate.config.problem import ConfigError
from tidegate.config.schema import schema

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def validator() -> Any:
    made = schema()
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


GOOD: list[dict[str, Any]] = [
    {},
    {"listeners": {"web": {"port": 8080}}, "routes": None},
    {
        "gateway": {"threads": "auto", "access_log": "-", "admin": {}, "name": "${env:NAME}"},
        "listeners": {
            "web": {"port": "${env:PORT}", "limits": {"header_size": "16KiB"}},
            "u": {"address": "unix:/a"},
        },
        "backends": {
            "short": ["h:1", {"address": "h:2", "weight": 2}],
            "long": {
                "endpoints": ["h:1"],
                "balancing": "round_robin",
                "health_check": {"type": "tcp", "interval": "1s"},
                "policies": [
                    "strict",
                    {"type": "request_headers", "set": {"a": "b"}, "add": {"c": ["d", "e"]}},
                ],
            },
            "checked": {"balancing": {"type": "least_request", "choices": 3}, "health_check": "http"},
        },
        "policies": {"strict": [{"type": "python", "function": "guard"}]},
        "functions": {"f": "a:b", "guard": {"handler": "a:c", "kind": "policy"}},
        "routes": [
            {"path": "/a", "to": "short"},
            {"path": {"exact": "/b"}, "to": ["short", {"backend": "long", "weight": 2}], "hosts": "h"},
            {
                "match": {"path": "/c/{d}", "methods": "GET", "headers": {"x": {"present": True}}},
                "to": {"respond": 204},
            },
            {"match": "/d", "to": {"redirect": "/e"}, "listeners": ["web"]},
            {"path": "/f", "to": {"function": "f"}, "retries": 2, "body_size": "1MiB"},
            {"path": "/g", "to": {"respond": {"status": 200, "headers": {"a": "b"}, "body": "c"}}},
            {"path": "/h", "to": "http://h", "rewrite": {"prefix": "/"}, "timeouts": {"request": "5s"}},
        ],
    },
]
BAD: list[dict[str, Any]] = [
    {"listners": {}},
    {"listeners": {"web": {"port": "x"}}},
    {"listeners": {"web": {"port": 70000}}},
    {"listeners": {"web": {"port": 1, "protocol": "http2"}}},
    {"backends": {"b": {"balancing": "least_time"}}},
    {"backends": {"b": {"health_check": {"type": "http", "intervall": "1s"}}}},
    {"gateway": {"graceful_stop": 5}},
    {"routes": [{"path": "/a"}]},
    {"routes": [{"path": "a", "to": "b"}]},
    {"routes": [{"to": {"compose": "x"}}]},
    {"routes": [{"to": "b", "match": {"headers": {"x": 1}}}]},
    {"routes": [{"to": "b", "policies": [{"type": "nothing"}]}]},
    {"functions": {"f": {"handler": "a:b", "kind": "x"}}},
]


@pytest.mark.parametrize("data", GOOD)
def test_what_the_loader_reads_is_in_the_schema(data: dict[str, Any], validator: Any) -> None:
    assert [error.message for error in validator.iter_errors(data)] == []
    loads(json.dumps(data), environment={"NAME": "gate", "PORT": "8080"})


@pytest.mark.parametrize("data", BAD)
def test_what_the_schema_marks_the_loader_refuses(data: dict[str, Any], validator: Any) -> None:
    assert not validator.is_valid(data)
    with pytest.raises(ConfigError):
        loads(json.dumps(data))


def test_every_setting_has_a_description() -> None:
    made = schema()
    missing = [
        f"{name}.{key}"
        for name, definition in {**made["$defs"], "": made}.items()
        for form in definition.get("anyOf", [definition])
        for key, setting in form.get("properties", {}).items()
        if not (
            "description" in setting
            or "const" in setting
            or any("description" in one for one in setting.get("anyOf", ()))
        )
        and form.get("description")
    ]
    assert missing == []


EXAMPLES = [*ROOT.glob("examples/**/*.yaml"), *ROOT.glob("python/tidegate/cli/templates/*.yaml")]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_what_its_editor_hint_says(path: Path, validator: Any) -> None:
    text = path.read_text(encoding="utf-8")
    hint = re.search(r"^# yaml-language-server: \$schema=(\S+)$", text, re.MULTILINE)
    if hint is not None and "://" not in hint[1]:
        named = (path.parent / hint[1]).resolve()
        assert named == ROOT / "docs" / "reference" / "tidegate.schema.json"
    assert [error.message for error in validator.iter_errors(yaml.safe_load(text))] == []


def test_the_repository_keeps_a_copy_of_the_schema() -> None:
    kept = json.loads((ROOT / "docs" / "reference" / "tidegate.schema.json").read_text(encoding="utf-8"))
    assert kept == schema(), "run `python tools/generate.py`"
