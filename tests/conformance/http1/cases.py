# SPDX-License-Identifier: Apache-2.0
"""Reads the case files: see README.md in this folder for their form.

Shape of a file: a list of cases. Everything unknown is an error, so that a misspelt expectation never passes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.conformance.http1 import generate

FOLDER = Path(__file__).parent / "cases"
GLOBALS = {"smuggled": r"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n"}

_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_REPEAT = re.compile(r"<<((?:[^*<>]|\\x[0-9a-f]{2})+)\*(\d+)>>")
_PLAIN = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}


@dataclass(frozen=True)
class Step:
    """One thing that the client does: `send` bytes, `wait` for responses or bytes, `shutdown`, `reset`."""

    kind: str
    data: bytes = b""
    count: int = 0


@dataclass(frozen=True)
class Upstream:
    """What must reach the endpoint: one request, or how the endpoint's connection went on."""

    method: str = "GET"
    target: str = "/"
    host: str | None = "a.test"
    body: bytes = b""
    framing: str | None = None
    fields: dict[str, str | list[str] | None] = field(default_factory=dict)
    trailers: list[list[str]] | None = None


@dataclass(frozen=True)
class Downstream:
    """What one response must look like."""

    fields: dict[str, str | list[str] | None] = field(default_factory=dict)
    body: bytes | None = None
    framing: str | None = None
    trailers: list[list[str]] | None = None
    complete: bool = True


@dataclass(frozen=True)
class Expect:
    """The judgement. `status` has one entry per final response, each the set of allowed statuses."""

    status: list[set[int]]
    connection: str = "kept"
    interim: list[int] | None = None
    endpoint: list[Upstream] | None = None
    endpoint_at_most: int | None = None
    endpoint_connection: str = "any"
    response: list[Downstream] = field(default_factory=list)
    cut: bool = False
    streamed: bool = False
    """Whether the start of a refused request may have reached the endpoint: a body is judged as it comes."""


@dataclass(frozen=True)
class Case:
    """One case, ready to play."""

    id: str
    row: str
    title: str
    since: str
    gateway: str
    send: list[Step]
    methods: list[str]
    origin: dict[str, Any]
    expect: Expect
    source: str


def decode(text: str) -> bytes:
    r"""Turns the readable notation into bytes.

    A line end is CRLF; `\r`, `\n`, `\t`, `\0`, `\xNN` and `\\` are those bytes; `<<a*70>>` is 70 times `a`.
    Characters up to U+00FF are that byte.

    Raises:
        ValueError: for an escape that is none of these.
    """
    text = repeat(text).replace("\n", r"\r\n")

    def plain(found: re.Match[str]) -> str:
        if found[1]:
            return chr(int(found[1], 16))
        if found[2] not in _PLAIN:
            raise ValueError(f"unknown escape {found[0]!r}")
        return _PLAIN[found[2]]

    return _ESCAPE.sub(plain, text).encode("latin-1")


def repeat(text: str) -> str:
    """Writes out every `<<a*70>>`."""
    return _REPEAT.sub(lambda found: found[1] * int(found[2]), text)


def load(folder: Path = FOLDER) -> list[Case]:
    """Every case of every file, tables expanded, in order of file name."""
    cases: list[Case] = []
    for path in sorted(folder.glob("*.yaml")):
        for entry in yaml.load(path.read_text(), yaml.CSafeLoader):
            cases += _expand(entry, path.name)
    ids = [case.id for case in cases]
    if len(set(ids)) != len(ids):
        raise ValueError(f"duplicate case ids: {sorted({i for i in ids if ids.count(i) > 1})}")
    return cases


def _expand(entry: dict[str, Any], source: str) -> list[Case]:
    each = entry.pop("each", None)
    if "generate" in entry:
        each = getattr(generate, entry.pop("generate"))()
    if each is None:
        return [_case(entry, {}, source)]
    cases = []
    for number, row in enumerate(each):
        row = {"value": row} if isinstance(row, (str, int)) else dict(row)
        name = row.pop("name", None) or f"{number:03d}"
        override = {key: row.pop(key) for key in ("expect", "refused", "origin", "methods") if key in row}
        merged = {**entry, **override, "id": f"{entry['id']}/{name}"}
        if override.keys() & {"expect", "refused"}:
            merged = {k: v for k, v in merged.items() if k not in ("expect", "refused") or k in override}
        cases.append(_case(merged, row, source))
    return cases


def _fill(value: Any, variables: dict[str, Any]) -> Any:
    if isinstance(value, str):
        whole = re.fullmatch(r"<<(\w+)>>", value)
        if whole and isinstance(variables.get(whole[1]), (bool, int)):
            return variables[whole[1]]
        for name, text in {**variables, **GLOBALS}.items():
            value = value.replace(f"<<{name}>>", str(text))
        return value
    if isinstance(value, list):
        return [_fill(item, variables) for item in value]
    if isinstance(value, dict):
        return {_fill(key, variables): _fill(item, variables) for key, item in value.items()}
    return value


def _case(entry: dict[str, Any], variables: dict[str, Any], source: str) -> Case:
    entry = _fill(entry, variables)
    known = {"id", "row", "title", "since", "gateway", "send", "methods", "origin", "expect", "refused"}
    if entry.keys() - known:
        raise ValueError(f"{source}: {entry.get('id')}: unknown keys {sorted(entry.keys() - known)}")
    try:
        return Case(
            id=entry["id"],
            row=str(entry["row"]),
            title=entry["title"],
            since=entry.get("since", "spine"),
            gateway=entry.get("gateway", "default"),
            send=_steps(entry["send"]),
            methods=entry.get("methods", []),
            origin=_origin(entry.get("origin", {})),
            expect=_expect(entry),
            source=source,
        )
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{source}: {entry.get('id')}: {error!r}") from error


def _steps(send: Any) -> list[Step]:
    if isinstance(send, str):
        send = [{"head": send}]
    steps = []
    for item in send:
        if isinstance(item, str):
            steps.append(Step("send", decode(item)))
            continue
        ((kind, value),) = item.items()
        if kind == "head":
            steps.append(Step("send", decode(value.rstrip("\n") + "\n\n")))
        elif kind in ("wait", "endpoint") and isinstance(value, int):
            steps.append(Step(kind, count=value))
        elif kind in ("wait", "endpoint"):
            steps.append(Step(f"{kind}_bytes", decode(value)))
        elif kind in ("shutdown", "reset"):
            steps.append(Step(kind))
        else:
            raise ValueError(f"unknown step {item}")
    return steps


def _origin(entry: dict[str, Any]) -> dict[str, Any]:
    origin = dict(entry)
    for key in ("raw", "respond"):
        if isinstance(origin.get(key), str):
            origin[key] = decode(origin[key])
        elif isinstance(origin.get(key), list):
            origin[key] = [decode(item) if isinstance(item, str) else item for item in origin[key]]
    return origin


def _statuses(value: Any) -> set[int]:
    return set(value) if isinstance(value, list) else {value}


def _expect(entry: dict[str, Any]) -> Expect:
    if "refused" in entry:
        return Expect([_statuses(entry["refused"])], connection="closed", endpoint=[])
    expect = dict(entry["expect"])
    expect["status"] = [_statuses(value) for value in expect["status"]]
    if "endpoint" in expect:
        expect["endpoint"] = [_upstream(item) for item in expect["endpoint"]]
    elif "endpoint_at_most" not in expect:
        raise ValueError("expect needs `endpoint`: what must reach it")
    expect["response"] = [_downstream(item) for item in expect.get("response", [])]
    return Expect(**expect)


def _upstream(item: dict[str, Any]) -> Upstream:
    return Upstream(**_expected_message(item))


def _downstream(item: dict[str, Any]) -> Downstream:
    return Downstream(**_expected_message(item))


def _expected_message(item: dict[str, Any]) -> dict[str, Any]:
    """Repetitions are written out everywhere, escapes only in bodies: fields may be patterns."""
    item = dict(item)
    if item.get("body") is not None:
        item["body"] = decode(item["body"])
    if "target" in item:
        item["target"] = repeat(item["target"])
    if "fields" in item:
        item["fields"] = {k: repeat(v) if isinstance(v, str) else v for k, v in item["fields"].items()}
    return item
