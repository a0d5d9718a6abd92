# SPDX-License-Identifier: Apache-2.0
"""What control and the supervisor say to each other about sockets and function workers."""

from typing import Any, TypedDict


class Address(TypedDict, total=False):
    """What is to be bound: `key`, `address` with `port` and `transport`, or `path` with `mode`; `backlog`.

    `transport` is `udp` or, if it is left out, TCP.
    """

    key: str
    address: str
    port: int
    transport: str
    path: str
    backlog: int
    mode: int


class OriginSpec(TypedDict):
    """How a process of a backend is started.

    `hash` changes whenever it has to be replaced; `{port}` stands for its port in `command` and
    `environment`; `directory` is absolute, `venv` too or empty; `user` is None for the ordinary one.
    """

    hash: str
    command: list[str]
    environment: dict[str, str]
    directory: str
    venv: str
    user: str | None
    drain_timeout_ms: int
    stop_timeout_ms: int


class Pool(TypedDict):
    """Function workers that are alike.

    `hash` changes whenever they have to be replaced; `sockets` has one path per process; `settings`
    goes to each as JSON in TIDEGATE_WORKER, with `pool` and `number` added; `interpreter` and
    `directory` may be empty; `deadline_ms` is the longest a call may take.
    """

    name: str
    hash: str
    sockets: list[str]
    settings: dict[str, Any]
    interpreter: str
    directory: str
    deadline_ms: int


def name_of(address: str, port: int) -> str:
    """`ADDRESS:PORT`, with an IPv6 address in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
