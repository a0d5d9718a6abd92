# SPDX-License-Identifier: Apache-2.0
"""Lists of policies as the node has them: sets in place of their names, and where each policy is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path as FilePath
from typing import Any

from tidegate.config.base import Model
from tidegate.config.draft import Path
from tidegate.config.gateway import Gateway
from tidegate.config.listener import Listener
from tidegate.config.policy_settings import Disable, PolicySettings
from tidegate.config.problem import ConfigError, Problem
from tidegate.config.rooms import sent
from tidegate.config.route import Route
from tidegate.config.snapshot import digest

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


def everywhere(gateway: Gateway) -> Iterator[Written]:
    """All policies that are written anywhere, and where; some more than once."""
    yield from written(gateway, gateway.gateway.policies, ("gateway", "policies"))
    for name, members in gateway.policies.items():
        yield from written(gateway, members, ("policies", name))
    for name, listener in gateway.listeners.items():
        yield from written(gateway, listener.policies, ("listeners", name, "policies"))
    for number, route in enumerate(gateway.routes):
        if isinstance(route, Route) and route.policies:
            yield from written(gateway, route.policies, ("routes", number, "policies"))
    for name, backend in gateway.backends.items():
        yield from written(gateway, backend.policies, ("backends", name, "policies"))


def files(gateway: Gateway, folder: FilePath) -> list[FilePath]:
    """The files that policies are made of."""
    return sorted({path.absolute() for _, policy in everywhere(gateway) for path in policy.files(folder)})


class PolicyData:
    """What policies keep apart from their settings: resources of kind `data`, named by their digests.

    Args:
        gateway: All policies of it are read.
        folder: What relative paths start from.
        problem: Makes one of what is wrong, where, and with which policy.

    Raises:
        ConfigError: Every mistake in what they read.
    """

    def __init__(
        self, gateway: Gateway, folder: FilePath, problem: Callable[[str, Path, Model], Problem]
    ) -> None:
        self.texts: dict[str, str] = {}
        """The resources' values, by name."""
        self.redacted: tuple[set[str], set[str]] = (set(), set())
        """Fields and query parameters that carry credentials."""
        self._names: dict[int, dict[str, str]] = {}
        problems: list[Problem] = []
        for path, policy in everywhere(gateway):
            if id(policy) in self._names:
                continue
            texts, wrong = policy.read(folder)
            problems += [problem(says, path, policy) for says in wrong]
            names = {setting: digest(text) for setting, text in texts.items()}
            self.texts |= {names[setting]: text for setting, text in texts.items()}
            self._names[id(policy)] = names
            for all_of_them, own in zip(self.redacted, policy.redacted(), strict=True):
                all_of_them.update(own)
        if problems:
            raise ConfigError(problems)

    def has(self, uses: Iterable[Model | str]) -> bool:
        """Whether one of these policies keeps something here."""
        return any(self._names.get(id(use)) for use in uses)

    def sent(self, use: Model | str, dumped: Any = None) -> Any:
        """A policy as the node reads it; the name of a set as it is."""
        if isinstance(use, str):
            return use
        value = sent(use) if dumped is None else dumped
        names = self._names.get(id(use))
        if not names:
            return value
        settings = {key: own for key, own in value["settings"].items() if key not in names}
        return {**value, "settings": settings, "data": names}
