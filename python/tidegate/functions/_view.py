# SPDX-License-Identifier: Apache-2.0
"""Parts of a request that are decoded when they are first asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

from tidegate._engine import Request


class Query(Mapping[str, str]):
    """A query's parameters, decoded. A name that is there several times reads as the first one."""

    def __init__(self, raw: str) -> None:
        self._raw = raw
        self._pairs = parse_qsl(raw, keep_blank_values=True, errors="replace")

    def __getitem__(self, name: str) -> str:
        for found, value in self._pairs:
            if found == name:
                return value
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._pairs))

    def __len__(self) -> int:
        return len(dict(self._pairs))

    def get_all(self, name: str) -> list[str]:
        """Every value under a name, in order."""
        return [value for found, value in self._pairs if found == name]

    def pairs(self) -> list[tuple[str, str]]:
        """Every parameter, in order."""
        return list(self._pairs)

    def __str__(self) -> str:
        return self._raw

    def __repr__(self) -> str:
        return f"Query({self._raw!r})"


@dataclass(frozen=True)
class Identity:
    """Who calls: what a policy has proved, and what the proof says.

    Attributes:
        scheme: How it was proved: the type of the policy, such as `mtls`.
        subject: Who: a user, a service, the owner of a key.
        issuer: Who says so; empty where that is the gateway's own configuration.
        roles: What it is.
        scopes: What it was given leave to do.
        claims: Everything else.
    """

    scheme: str
    subject: str
    issuer: str = ""
    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    claims: Mapping[str, Any] = field(default_factory=dict)


def read_identity(text: str) -> Identity:
    """Who calls, from the node's JSON."""
    told = json.loads(text)
    return Identity(**{**told, "roles": tuple(told["roles"]), "scopes": tuple(told["scopes"])})


def parse_cookies(fields: list[str]) -> dict[str, str]:
    """The cookies of `Cookie` fields (RFC 6265 §5.4); of equal names the first, which is the more
    specific one."""
    cookies: dict[str, str] = {}
    for line in fields:
        for pair in line.split(";"):
            name, separator, value = pair.strip(" \t").partition("=")
            if separator and name:
                value = value.strip(" \t")
                if len(value) >= 2 and value[0] == value[-1] == '"':
                    value = value[1:-1]
                cookies.setdefault(name, value)
    return cookies


def parse_parameters(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """What a template matched, decoded."""
    return {name: unquote(value) for name, value in pairs}


async def read_json(request: Request) -> Any:
    """The body as JSON.

    Raises:
        ValueError: It is not JSON.
    """
    return json.loads(await request.body())
