# SPDX-License-Identifier: Apache-2.0
"""Lists of policies as the node has them: sets in place of their names, and where each policy is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tidegate.config.base import Model
from tidegate.config.draft import Path
from tidegate.config.gateway import Gateway
from tidegate.config.listener import Listener
from tidegate.config.policy_settings import Disable, PolicySettings

Written = tuple[Path, PolicySettings]


def written(gateway: Gateway, uses: Iterable[Model | str], path: Path) -> Iterator[Written]:
    """The policies of a list, those of sets among them, and where each is written."""
    for number, use in enumerate(uses):
        if isinstance(use, PolicySettings):
            yield (*path, number), use
        elif isinstance(use, str):
            members = gateway.policies[use]
            yield from written(gateway, members, ("policies", use))


def written_on(gateway: Gateway, listener: Listener, path: Path) -> list[Written]:
    """The same of a listener: the gateway's but for those that it takes away, and its own."""
    without = {use.disable for use in listener.policies if isinstance(use, Disable)}
    around = written(gateway, gateway.gateway.policies, ("gateway", "policies"))
    kept = [each for each in around if each[1].called not in without]
    return kept + list(written(gateway, listener.policies, (*path, "policies")))


def on_listener(around: list[dict[str, Any]], own: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As [`written_on`], of what the node is sent."""
    without = {each["name"] for each in own if each["kind"] == "disable"}
    kept = [each for each in around if each.get("name", each["kind"]) not in without]
    return kept + [each for each in own if each["kind"] != "disable"]
