# SPDX-License-Identifier: Apache-2.0
"""What the node runs, as control has it: resources with their hashes, and what changed since then.

The form is `crates/config/src/delta.rs`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from pydantic_core import to_json

from tidegate.config.base import Model
from tidegate.config.secret import Secret

SCHEMA: Final = 3
"""The version of the snapshot's form, as in `crates/config/src/delta.rs`."""

Key = tuple[str, str]
"""A resource's kind and name."""
Refer = Callable[[Any], Any]
"""What stands in a snapshot for a value that has no form in JSON."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One named part of a snapshot."""

    kind: str
    name: str
    hash: str
    """A digest of `value`; equal means unchanged, but for `secrets`."""
    value: str
    """JSON, with `{"secret": id}` in the place of each secret."""
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    """What its secrets are, by id. No digest of them is made: a short one could be guessed from it."""

    def is_like(self, other: Resource | None) -> bool:
        """Whether a node that has `other` needs nothing."""
        return other is not None and (other.hash, other.secrets) == (self.hash, self.secrets)


@dataclass(slots=True)
class Snapshot:
    """Everything a node needs, in parts.

    Attributes:
        resources: By kind and name, in the order of the configuration.
        endpoints: By backend, JSON of the list of endpoints.
        positions: By kind and name, `file:line`; never sent to a node.
    """

    resources: dict[Key, Resource] = field(default_factory=dict)
    endpoints: dict[str, str] = field(default_factory=dict)
    positions: dict[Key, str] = field(default_factory=dict)

    def changed(self, previous: Snapshot | None) -> list[Key]:
        """Kinds and names of resources that are new, different or gone, compared with `previous`."""
        old = previous.resources if previous is not None else {}
        keys = [key for key, resource in self.resources.items() if not resource.is_like(old.get(key))]
        return keys + [key for key in old if key not in self.resources]

    def delta(self, previous: Snapshot | None, *, base: int = 0, number: int = 1) -> dict[str, Any]:
        """The change from `previous` to this, as `Delta` of `crates/config/src/delta.rs`.

        Args:
            previous: `None` for the whole.
            base: The number of the snapshot the node has; 0 for none.
            number: The number this one gets; also the sequence of the endpoint sets in it.
        """
        raw = self.delta_json(previous, base=base, number=number)
        result: dict[str, Any] = json.loads(raw)
        return result

    def delta_json(
        self, previous: Snapshot | None, *, base: int = 0, number: int = 1, sequence: int | None = None
    ) -> str:
        """`delta` as JSON text, put together from the parts without decoding them.

        Args:
            sequence: That of the endpoint sets, if not `number`.
        """
        old = previous.resources if previous is not None else {}
        old_endpoints = previous.endpoints if previous is not None else {}
        fresh = [resource for key, resource in self.resources.items() if not resource.is_like(old.get(key))]
        parts = [
            f'{{"kind":"{resource.kind}","name":{json.dumps(resource.name)},"hash":"{resource.hash}","value":{resource.value}}}'
            for resource in fresh
        ]
        secrets = json.dumps(secret_sets(fresh))
        gone = json.dumps([key for key in old if key not in self.resources])
        order = number if sequence is None else sequence
        sets = [
            f'{{"backend":{json.dumps(name)},"sequence":{order},"endpoints":{value}}}'
            for name, value in self.endpoints.items()
            if old_endpoints.get(name) != value
        ]
        return (
            f'{{"schema":{SCHEMA},"base":{base},"number":{number},"set":[{",".join(parts)}],'
            f'"secrets":{secrets},"remove":{gone},"endpoints":[{",".join(sets)}]}}'
        )

    def endpoint_sets(self, previous: Snapshot | None, sequence: int) -> list[dict[str, Any]]:
        """Only the endpoint lists that differ, for `endpoints.set`: no new snapshot is needed for them."""
        old = previous.endpoints if previous is not None else {}
        return [
            {"backend": name, "sequence": sequence, "endpoints": json.loads(value)}
            for name, value in self.endpoints.items()
            if old.get(name) != value
        ]


def secret_sets(resources: Iterable[Resource]) -> list[dict[str, Any]]:
    """The section of secrets, as `SecretSet` of `crates/config/src/secret.rs`."""
    return [
        {"kind": each.kind, "name": each.name, "values": each.secrets} for each in resources if each.secrets
    ]


def resource(kind: str, name: str, value: Any) -> Resource:
    """A resource, with the secrets in `value` taken out of it."""
    return resource_of(kind, name, partial(json_text, value))


def resource_of(kind: str, name: str, text_of: Callable[[Refer], str]) -> Resource:
    """A resource of the JSON that `text_of` makes."""
    secrets: dict[str, str] = {}

    def refer(found: Any) -> dict[str, str]:
        if not isinstance(found, Secret):
            raise TypeError(f"{type(found).__name__} has no place in a snapshot")
        # Files of the same name in two folders, or secrets without a name, are different ones.
        number, own = 1, found.id
        while secrets.setdefault(own, found.reveal()) != found.reveal():
            number += 1
            own = f"{found.id}#{number}"
        return {"secret": own}

    text = text_of(refer)
    return Resource(kind, name, digest(text), text, secrets)


def json_text(value: Any, refer: Refer | None = None) -> str:
    """The JSON of a value."""
    return to_json(value, fallback=refer).decode()


def model_json(model: Model, refer: Refer) -> str:
    """The JSON of a model without its control-only fields."""
    text = model.__pydantic_serializer__.to_json(model, exclude=set(model.control_only()), context=refer)
    return text.decode()


def digest(text: str) -> str:
    """A resource's hash: 128 bits of BLAKE2b over its JSON, in hexadecimal."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
