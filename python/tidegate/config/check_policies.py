# SPDX-License-Identifier: Apache-2.0
"""What is wrong with policies where only the whole shows it: whom `disable` takes away, who runs code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tidegate.config.base import Model
from tidegate.config.custom_policy import CustomPolicy
from tidegate.config.draft import Draft, Mistake, Path
from tidegate.config.l4 import backend_names
from tidegate.config.policy_settings import Disable, PolicySettings
from tidegate.config.route import Route
from tidegate.config.suggest import did_you_mean

Uses = Iterable[Model | str]
Named = dict[str, bool]
"""Names of policies, and whether they are locked."""


def lists(draft: Draft) -> Iterator[tuple[Path, Uses]]:
    """Every list of policies that sets may stand in, and where it is written."""
    if draft.settings is not None:
        yield ("gateway", "policies"), draft.settings.policies
    for name, listener in draft.listeners.items():
        if listener is not None:
            yield ("listeners", name, "policies"), listener.policies
    for number, route in enumerate(draft.routes):
        if isinstance(route, Route):
            yield ("routes", number, "policies"), route.policies
    for name, backend in draft.backends.items():
        if backend is not None:
            yield ("backends", name, "policies"), backend.policies


def custom(draft: Draft) -> Iterator[Mistake]:
    """Policies of others and functions in each other's way: one of the policy's name is what runs it."""
    sets = ((("policies", name), members or ()) for name, members in draft.policies.items())
    found: dict[str, type[CustomPolicy]] = {}
    for path, uses in (*lists(draft), *sets):
        for number, use in enumerate(uses):
            if not isinstance(use, CustomPolicy):
                continue
            tag = str(use.type)  # type: ignore[attr-defined]
            if found.setdefault(tag, type(use)) is not type(use):
                yield (*path, number), f"another class is of type `{tag}` too; give one another type"
    for name, function in draft.functions.items():
        if function is None or ("functions", name) in draft.mended:
            continue
        if function.pool in found and function.pool != name:
            yield (
                ("functions", name, "pool"),
                f"`{function.pool}` runs the policy of that type; choose another name",
            )
        if name not in found:
            continue
        handler = found[name].runs().handler
        if (function.kind, function.handler) != ("policy", handler):
            yield (
                ("functions", name),
                f"runs the policy of type `{name}`; write `handler: {handler}` and `kind: policy`, "
                "or choose another name",
            )


def disabled(draft: Draft) -> Iterator[Mistake]:
    """Whoever takes a policy away that is not there, or may not be taken away."""
    outside = _named(draft, draft.settings.policies if draft.settings is not None else ())
    for number, policy in enumerate(draft.settings.policies if draft.settings is not None else ()):
        if isinstance(policy, Disable):
            yield ("gateway", "policies", number), "nothing stands further out than `gateway`; leave it out"
    listeners = {
        name: _named(draft, listener.policies)
        for name, listener in draft.listeners.items()
        if listener is not None
    }
    for name, listener in draft.listeners.items():
        if listener is not None:
            yield from _judged(("listeners", name, "policies"), listener.policies, outside)
    leading: dict[str, Named] = {}
    for number, route in enumerate(draft.routes):
        if not isinstance(route, Route):
            continue
        around = _joined(
            outside, *(listeners[name] for name in route.listeners or listeners if name in listeners)
        )
        yield from _judged(("routes", number, "policies"), route.policies, around)
        around = _joined(around, _named(draft, route.policies))
        for name in backend_names(route):
            leading[name] = _joined(leading.get(name, {}), around)
    for name, backend in draft.backends.items():
        if backend is not None:
            yield from _judged(("backends", name, "policies"), backend.policies, leading.get(name, outside))


def _named(draft: Draft, uses: Uses) -> Named:
    found: Named = {}
    for use in uses:
        members = draft.policies.get(use) or () if isinstance(use, str) else (use,)
        for member in members:
            if isinstance(member, PolicySettings):
                found[member.called] = member.locked or found.get(member.called, False)
    return found


def _joined(*parts: Named) -> Named:
    found: Named = {}
    for part in parts:
        for name, locked in part.items():
            found[name] = locked or found.get(name, False)
    return found


def _judged(path: Path, uses: Uses, around: Named) -> Iterator[Mistake]:
    for number, use in enumerate(uses):
        if not isinstance(use, Disable):
            continue
        name = use.disable
        if name not in around:
            there = ", ".join(f"`{other}`" for other in sorted(around)) or "none"
            yield (
                (*path, number),
                (f"no policy further out is called `{name}`{did_you_mean(name, around)}; there is {there}"),
            )
        elif around[name]:
            yield (*path, number), f"`{name}` is locked: it can not be taken away here"
