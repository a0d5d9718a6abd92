# SPDX-License-Identifier: Apache-2.0
"""One list of endpoints per backend out of several sources."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from tidegate.config.backend import Endpoint
from tidegate.config.problem import ConfigError
from tidegate.protocol import Refused

OPERATOR: Final = "operator"
REGISTRATION: Final = "registration"
MOST: Final = 10_000
"""Endpoints of a backend that sources and registrations may come to."""


@dataclass(frozen=True)
class Entry:
    """One endpoint, as the node gets it.

    Attributes:
        settings: All that the model `Endpoint` has, `address` among it.
        found_by: Who named it: `configuration`, `operator`, `registration`, or a kind of discovery.
    """

    settings: dict[str, Any]
    found_by: str

    @property
    def address(self) -> str:
        """Its address, in the one spelling."""
        return str(self.settings["address"])

    @classmethod
    def of(cls, endpoint: Endpoint, found_by: str) -> Entry:
        """What a model comes to."""
        return cls(endpoint.model_dump(), found_by)

    def takes_requests(self) -> bool:
        """Whether new requests may go there at all, well or not."""
        return bool(self.settings["weight"]) and not self.settings["draining"]

    def to_json(self) -> dict[str, Any]:
        """As `Endpoint` of the snapshot."""
        return {**self.settings, "found_by": self.found_by}


@dataclass(frozen=True)
class Change:
    """What the operator wants of one address.

    Attributes:
        added: The endpoint itself, if the operator added it or changed its settings.
        draining: Whether it drains; None for what its source says.
        removed: Whether it is left out, whoever names it.
    """

    added: dict[str, Any] | None = None
    draining: bool | None = None
    removed: bool = False


@dataclass
class Roster:
    """All that is known of the endpoints of all backends.

    Attributes:
        configured: By backend, what the configuration names; backends that are not here do not exist.
        found: By backend, what its source found last.
        registered: By backend and address, what registered itself.
        leases: By backend and address, for how many milliseconds each of these registers.
        changes: By backend and address, what the operator changed.
        sources: Backends that have a source; what others found once does not count.
    """

    configured: dict[str, list[Entry]] = field(default_factory=dict)
    found: dict[str, list[Entry]] = field(default_factory=dict)
    registered: dict[str, dict[str, Entry]] = field(default_factory=dict)
    leases: dict[str, dict[str, int]] = field(default_factory=dict)
    changes: dict[str, dict[str, Change]] = field(default_factory=dict)
    sources: frozenset[str] = frozenset()

    def configure(self, lists: Mapping[str, str], sources: Iterable[str]) -> None:
        """Takes the lists of a configuration, as `Snapshot.endpoints` has them, and who has a source."""
        self.sources = frozenset(sources)
        self.configured = {name: [_entry(each) for each in json.loads(text)] for name, text in lists.items()}

    def forget(self) -> None:
        """Drops what is known of backends that are not there any more."""
        for known in (self.found, self.registered, self.leases, self.changes):
            for name in set(known) - set(self.configured):
                known.pop(name)
        for name in set(self.found) - self.sources:
            self.found.pop(name)

    def entries(self, backend: str) -> list[Entry]:
        """The endpoints that the node is to have, in a stable order.

        Who names an address first decides its settings: the configuration before sources before
        registrations. What the operator changed counts before all of them.
        """
        changes = self.changes.get(backend, {})
        found: dict[str, Entry] = {}
        for entry in self._named(backend):
            found.setdefault(entry.address, entry)
        for address, change in changes.items():
            if change.added is not None:
                found[address] = Entry(change.added, OPERATOR)
        return [
            _changed(entry, changes.get(address, Change()))
            for address, entry in found.items()
            if not changes.get(address, Change()).removed
        ]

    def _named(self, backend: str) -> Iterable[Entry]:
        yield from self.configured.get(backend, ())
        yield from self.found.get(backend, ()) if backend in self.sources else ()
        yield from self.registered.get(backend, {}).values()

    def lists(self) -> dict[str, str]:
        """By backend, JSON of its endpoints, as `Snapshot.endpoints` has them."""
        return {
            name: json.dumps([each.to_json() for each in self.entries(name)], separators=(",", ":"))
            for name in self.configured
        }

    def is_last(self, backend: str, address: str) -> bool:
        """Whether no other endpoint of the backend takes requests."""
        return not any(entry.takes_requests() for entry in self.entries(backend) if entry.address != address)

    # What the operator says

    def change(
        self, backend: str, address: str, action: str, settings: Mapping[str, Any], *, force: bool = False
    ) -> str:
        """Carries out `add`, `drain`, `undrain` or `remove`.

        Args:
            settings: For `add`, what the model `Endpoint` has besides the address.
            force: Whether the last endpoint that takes requests may go as well.

        Returns:
            The address in its one spelling.

        Raises:
            Refused: With what to do instead; nothing has changed.
        """
        self.check_backend(backend)
        endpoint = checked({**settings, "address": address})
        address = endpoint.address
        entry = next((each for each in self.entries(backend) if each.address == address), None)
        changes = self.changes.setdefault(backend, {})
        if action == "add":
            changes[address] = Change(added=endpoint.model_dump())
            return address
        if entry is None:
            known = ", ".join(each.address for each in self.entries(backend)) or "none"
            raise refused(f"backend {backend}", f"it has no endpoint {address}; it has {known}")
        is_leaving = action in ("drain", "remove") and entry.takes_requests() and not force
        if is_leaving and self.is_last(backend, address):
            raise refused(
                f"backend {backend}",
                f"{address} is its last endpoint that takes requests; add another first, or say --force",
            )
        before = changes.get(address, Change())
        if action == "drain":
            changes[address] = replace(before, draining=True)
        elif action == "undrain":
            changes[address] = replace(before, draining=False)
        elif action == "remove":
            # One that nobody else names is simply gone.
            if any(each.address == address for each in self._named(backend)):
                changes[address] = Change(removed=True)
            else:
                del changes[address]
        else:
            raise refused("action", f"there is no `{action}`")
        return address

    def check_backend(self, backend: str) -> None:
        """Refuses backends that are not there, and those whose endpoints are not anybody's to change.

        Raises:
            Refused: With the names there are.
        """
        if backend not in self.configured or backend.startswith("tidegate:"):
            own = [name for name in self.configured if not name.startswith(("function:", "tidegate:"))]
            raise refused(f"backend {backend}", "there is none; there are " + (", ".join(own) or "none"))
        if backend.startswith("function:"):
            raise refused(f"backend {backend}", "its endpoints are function workers; set `workers` instead")

    def unregister(self, backend: str, address: str) -> None:
        """Forgets an endpoint that registered itself."""
        self.registered[backend].pop(address)
        self.leases.get(backend, {}).pop(address, None)

    def told(self, backend: str) -> list[dict[str, Any]]:
        """Every endpoint with its state, those that the operator removed as well."""
        entries = [{**each.to_json(), "removed": False} for each in self.entries(backend)]
        changes = self.changes.get(backend, {})
        gone = [each for each in self._named(backend) if changes.get(each.address, Change()).removed]
        return entries + [{**each.to_json(), "removed": True} for each in gone]

    # For the disk

    def to_json(self) -> dict[str, Any]:
        """All but what the configuration says anyway."""
        return {
            "found": {name: [each.to_json() for each in found] for name, found in self.found.items()},
            "registered": {
                name: [each.to_json() for each in found.values()] for name, found in self.registered.items()
            },
            "leases": self.leases,
            "changes": {
                name: {address: asdict(change) for address, change in changes.items()}
                for name, changes in self.changes.items()
                if changes
            },
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Roster:
        """The reverse of `to_json`.

        Raises:
            KeyError, TypeError, ValueError, ConfigError: It is something else.
        """
        return cls(
            found={name: [_entry(each) for each in found] for name, found in value["found"].items()},
            registered={
                name: {each["address"]: _entry(each) for each in found}
                for name, found in value["registered"].items()
            },
            leases={name: dict(leases) for name, leases in value["leases"].items()},
            changes={
                name: {address: Change(**change) for address, change in changes.items()}
                for name, changes in value["changes"].items()
            },
        )


def refused(where: str, message: str) -> Refused:
    """A refusal with one problem."""
    return Refused([{"where": where, "message": message}])


def checked(settings: Mapping[str, Any]) -> Endpoint:
    """The model of an endpoint that comes from outside the configuration.

    Raises:
        Refused: With every mistake.
    """
    try:
        return Endpoint(**{key: value for key, value in settings.items() if value is not None})
    except ConfigError as error:
        raise Refused(
            [{"where": each.path or "endpoint", "message": each.message} for each in error.problems]
        ) from None


def _entry(value: Mapping[str, Any]) -> Entry:
    settings = dict(value)
    found_by = str(settings.pop("found_by"))
    # Checked again: a version of tidegate may know more settings than the one that wrote it.
    return Entry.of(Endpoint.model_validate(settings), found_by)


def _changed(entry: Entry, change: Change) -> Entry:
    if change.draining is None:
        return entry
    return Entry({**entry.settings, "draining": change.draining}, entry.found_by)
