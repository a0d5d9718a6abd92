# SPDX-License-Identifier: Apache-2.0
"""The gateways that the cases run against, started when first needed and shared by all cases."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.conformance.http1.player import Target
from tidegate.testing import FakeEndpoint, endpoint

CONFIGURATIONS: dict[str, dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "gateways.yaml").read_text()
)
TIMEOUT = float(os.environ.get("PLAYER_TIMEOUT", "30"))


class Targets:
    """Keeps one gateway and one fake endpoint per configuration of gateways.yaml."""

    def __init__(self) -> None:
        """Starts nothing yet."""
        self._stack = contextlib.ExitStack()
        self._targets: dict[str, Target] = {}

    def get(self, name: str) -> Target:
        """The gateway of that name, started if need be."""
        if name not in self._targets:
            from tidegate.testing import gateway

            upstream = self._stack.enter_context(endpoint())
            refused = self._stack.enter_context(endpoint(fail="refuse"))
            running = self._stack.enter_context(gateway(configuration(name, upstream, refused)))
            self._targets[name] = Target(("127.0.0.1", running.port), upstream, TIMEOUT)
        return self._targets[name]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def configuration(name: str, upstream: FakeEndpoint, refused: FakeEndpoint) -> str:
    """The YAML of one configuration with its endpoints filled in."""
    text = yaml.safe_dump(CONFIGURATIONS[name], sort_keys=False)
    return text.replace("$endpoint", upstream.address).replace("$refused", refused.address)
