# SPDX-License-Identifier: Apache-2.0
"""What the tests of settings share: a small gateway from fragments, and the list of what has been shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from tidegate.testing import FakeEndpoint, Message, RunningGateway, Wire, gateway

SHOWN: set[str] = set()
_Test = TypeVar("_Test", bound=Callable[..., Any])


def shows(*names: str) -> Callable[[_Test], _Test]:
    """Marks a test as the one that shows what these settings do, by `Model.field` of the wire."""
    SHOWN.update(names)
    return lambda test: test


def small(
    *upstreams: FakeEndpoint,
    settings: str = "",
    listener: str = "",
    backend: str = "",
    route: str = "",
    more: str = "",
    threads: int = 1,
) -> RunningGateway:
    """A gateway with one listener, one backend over `upstreams` and one route; the texts go inside."""
    endpoints = ", ".join(f'{{ address: "{upstream.address}" }}' for upstream in upstreams)
    text = f"""
gateway: {{ {settings} }}
listeners: {{ web: {{ port: 0, proxy_status: true, {listener} }} }}
backends: {{ b: {{ endpoints: [{endpoints}], {backend} }} }}
routes:
  - {{ name: r, path: /, to: b, {route} }}
{more}"""
    return gateway(text, threads=threads)


def ask(
    running: RunningGateway,
    target: str = "/",
    *,
    method: str = "GET",
    headers: Sequence[str] = (),
    body: bytes = b"",
    port: int | None = None,
) -> Message:
    """One request on a connection of its own; its final response."""
    lines = [f"{method} {target} HTTP/1.1", *headers]
    if not any(line.lower().startswith("host:") for line in headers):
        lines.append("Host: a.test")
    if body and not any("chunked" in line for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    with Wire(("127.0.0.1", port or running.port)) as wire:
        wire.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body, method)
        assert wire.wait_final(1), (wire.closed, bytes(wire.received))
        return wire.final_responses[0]


def error(response: Message) -> str:
    """The kind of failure that a response tells in Proxy-Status; empty for none."""
    told = response.get("proxy-status") or ""
    return told.partition("error=")[2]
