# SPDX-License-Identifier: Apache-2.0
"""`disable` and `locked`: what an inner scope takes away of the outer ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.integration.settings.kit import ask
from tidegate import ConfigError
from tidegate.cli.commands import app
from tidegate.testing import decide, endpoint, gateway


def sets(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "request_headers", "set": {f"x-{name}": "1"}, "name": name, **more}


def nested(address: str, *, listener: Any = (), route: Any = (), backend: Any = ()) -> dict[str, Any]:
    """Policies in every scope, and these beside the inner ones' own; a second route takes nothing away."""
    return {
        "gateway": {"policies": [sets("outer"), "common"]},
        "listeners": {"web": {"port": 0, "policies": [sets("listener"), *listener]}},
        "policies": {"common": [sets("common"), sets("trace")]},
        "backends": {
            "b": {"endpoints": [address], "policies": [sets("backend"), *backend]},
            "other": {"endpoints": [address]},
        },
        "routes": [
            {"name": "r", "path": "/", "to": "b", "policies": [sets("route"), *route]},
            {"name": "second", "path": "/second", "to": "other"},
        ],
    }


def taking_part(text: dict[str, Any], target: str = "/") -> set[str]:
    with endpoint() as upstream:
        for backend in text["backends"].values():
            backend["endpoints"] = [upstream.address]
        with gateway(json.dumps(text)) as running:
            assert ask(running, target).status == 200
        names = ("outer", "common", "trace", "listener", "route", "backend")
        return {name for name in names if upstream.messages[0].get(f"x-{name}")}


ALL = {"outer", "common", "trace", "listener", "route", "backend"}
SOME = {"outer", "common", "trace", "listener"}


@pytest.mark.parametrize(
    ("scopes", "first", "second"),
    [
        ({}, ALL, SOME),
        ({"route": [{"disable": "outer"}]}, ALL - {"outer"}, SOME),
        ({"route": [{"disable": "trace"}, {"disable": "listener"}]}, ALL - {"trace", "listener"}, SOME),
        ({"listener": [{"disable": "common"}]}, ALL - {"common"}, SOME - {"common"}),
        ({"backend": [{"disable": "route"}, {"disable": "outer"}]}, ALL - {"route", "outer"}, SOME),
        (
            {"listener": [{"disable": "outer"}], "backend": [{"disable": "listener"}]},
            ALL - {"outer", "listener"},
            SOME - {"outer"},
        ),
    ],
)
def test_what_is_taken_away_is_so_in_that_scope_alone(
    scopes: dict[str, Any], first: set[str], second: set[str]
) -> None:
    assert taking_part(nested("", **scopes)) == first
    assert taking_part(nested("", **scopes), "/second") == second


def test_one_without_a_name_is_called_as_its_type() -> None:
    text = nested("")
    text["gateway"]["policies"].append({"type": "response_headers", "set": {"x": "1"}})
    text["routes"][0]["policies"].append({"disable": "response_headers"})
    told = decide(
        json.dumps(text | {"backends": {"b": ["127.0.0.1:1"], "other": ["127.0.0.1:1"]}}), "GET http://a/"
    )
    effects = {each["name"]: each["effect"] for each in told["policies"]}
    assert effects["response_headers"] == "taken away"


@pytest.mark.parametrize(
    ("change", "path", "says"),
    [
        (
            {"route": [{"disable": "outr"}]},
            "routes[0].policies[1]",
            "is called `outr`; did you mean `outer`?",
        ),
        (
            {"route": [{"disable": "route"}]},
            "routes[0].policies[1]",
            "no policy further out is called `route`",
        ),
        (
            {"listener": [{"disable": "route"}]},
            "listeners.web.policies[1]",
            "no policy further out is called",
        ),
        ({"route": [{"disable": "common", "type": "x"}]}, "routes[0].policies[1]", "no such type `x`"),
        ({"route": [{"disable": "a b"}]}, "routes[0].policies[1].disable", "name"),
    ],
)
def test_who_takes_away_what_is_not_there_is_told(change: dict[str, Any], path: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        decide(json.dumps(nested("127.0.0.1:1", **change)), "GET http://a/")
    (problem,) = caught.value.problems
    assert (problem.path, says in problem.message) == (path, True), problem


@pytest.mark.parametrize("scope", ["listener", "route", "backend"])
def test_what_is_locked_stays(scope: str) -> None:
    text = nested("127.0.0.1:1", **{scope: [{"disable": "outer"}]})
    text["gateway"]["policies"][0]["locked"] = True
    with pytest.raises(ConfigError, match="`outer` is locked: it can not be taken away here"):
        decide(json.dumps(text), "GET http://a/")


def test_nothing_is_taken_away_where_nothing_is_around() -> None:
    text = nested("127.0.0.1:1")
    text["gateway"]["policies"].append({"disable": "outer"})
    text["policies"]["common"].append({"disable": "outer"})
    with pytest.raises(ConfigError) as caught:
        decide(json.dumps(text), "GET http://a/")
    assert [problem.message for problem in caught.value.problems] == [
        "nothing stands further out than `gateway`; leave it out",
        "a set takes nothing away; write it where the set is used",
    ]


CONFIGURATION = """\
gateway:
  policies:
    - { type: request_headers, name: outer, set: { x-outer: "1" } }
listeners:
  web: { port: 8080 }
policies:
  common:
    - { type: request_headers, name: trace, set: { x-trace: "1" } }
backends:
  b:
    endpoints: ["localhost:8081"]
    policies:
      - { type: response_headers, set: { x-b: "1" } }
routes:
  - path: /
    policies:
      - common
      - { disable: outer }
      - { type: request_headers, name: own, set: { x: "1" }, shadow: true }
    to: b
"""


def test_explain_shows_the_chain_with_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "tidegate.yaml"
    file.write_text(CONFIGURATION)
    shown = CliRunner().invoke(app, ["explain", "GET", "http://localhost:8080/", "--file", str(file)])
    lines = [
        " ".join(line.split()) for line in shown.output.splitlines() if line.strip().startswith("policy ")
    ]
    assert lines == [
        f"policy outer: taken away by route / {file}:3",
        f"policy trace: applied {file}:8",
        f"policy own: applied (only tried) {file}:19",
        f"policy response_headers: none in the request phase {file}:13",
    ]
