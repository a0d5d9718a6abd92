# SPDX-License-Identifier: Apache-2.0
"""A configuration ready to be applied: the node's part, the supervisor's, and what to watch."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tidegate.config.compile import Compiler
from tidegate.config.compile_policies import files as policy_files
from tidegate.config.gateway import Gateway
from tidegate.config.implied import custom, implied, user_functions
from tidegate.config.issued import orders
from tidegate.config.roots import check_roots
from tidegate.config.secret import Secret
from tidegate.config.snapshot import Resource, Snapshot, digest
from tidegate.config.stapled import asked
from tidegate.control.origins.wanted import Wanted, wanted
from tidegate.control.pools import own_pools, pools
from tidegate.control.weighers import Weigher, weighers
from tidegate.protocol import Address, Pool, name_of

Position = Callable[[tuple[int | str, ...]], str]


@dataclass
class Compiled:
    """What one reading of the configuration came to.

    Attributes:
        snapshot: For the node.
        pools: Function workers.
        user: Whom node and control are to run as; None for no wish.
        function_user: The same for function workers.
        discovery: By backend, the source of more endpoints: `{"kind", "settings", "folder"}`.
        registration: By backend, who may register: `{"token", "max_lease_ms", "max_endpoints", "networks"}`.
        files: What it was read from.
        code: Folders with users' code; `reloads` says which are to be watched in any case.
        weighers: Functions that compute weights.
        processes: By backend, the servers of the user's own that are to run.
        counts: How many `listeners`, `routes`, `backends` and `functions` were written; what follows from
            others, such as the listener of `gateway.admin` or a backend for a URL in `to`, is not counted.
        acme: The certificates to get and from whom, as `tidegate.issuing.keeper.Wanted` reads it, if any.
        staples: By listener whose certificates' responders are asked, which of these have an answer of their
            own, by `cert_name`.
    """

    snapshot: Snapshot
    pools: list[Pool] = field(default_factory=list)
    user: str | None = None
    function_user: str | None = None
    discovery: dict[str, dict[str, Any]] = field(default_factory=dict)
    registration: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    files: list[Path] = field(default_factory=list)
    code: list[Path] = field(default_factory=list)
    reloads: list[Path] = field(default_factory=list)
    weighers: list[Weigher] = field(default_factory=list)
    processes: dict[str, Wanted] = field(default_factory=dict, repr=False)
    counts: dict[str, int] = field(default_factory=dict)
    acme: dict[str, Any] | None = field(default=None, repr=False)
    staples: dict[str, list[str]] = field(default_factory=dict)

    def addresses(self) -> list[Address]:
        """What has to be bound: by the order of listeners, one or more of each."""
        found: list[Address] = []
        for (kind, _), resource in self.snapshot.resources.items():
            if kind == "listener":
                found += addresses_of(json.loads(resource.value))
        return found

    def settings(self) -> dict[str, Any]:
        """The gateway's own settings as the node gets them."""
        value: dict[str, Any] = json.loads(self.snapshot.resources["gateway", "gateway"].value)
        return value

    def summary(self) -> str:
        """The counts in words, without those of 0: `1 listener, 2 routes`; `empty` if all are."""
        told = [f"{n} {kind[:-1] if n == 1 else kind}" for kind, n in self.counts.items() if n]
        return ", ".join(told) or "empty"

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values, for a process that may not pass objects."""
        return {
            "resources": [
                [each.kind, each.name, each.value, each.secrets] for each in self.snapshot.resources.values()
            ],
            "endpoints": self.snapshot.endpoints,
            "positions": [[*key, place] for key, place in self.snapshot.positions.items()],
            "pools": self.pools,
            "user": self.user,
            "function_user": self.function_user,
            "discovery": self.discovery,
            "registration": self.registration,
            "files": [str(path) for path in self.files],
            "code": [str(path) for path in self.code],
            "reloads": [str(path) for path in self.reloads],
            "weighers": [asdict(weigher) for weigher in self.weighers],
            "processes": self.processes,
            "counts": self.counts,
            "acme": self.acme,
            "staples": self.staples,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Compiled":
        """The reverse of `to_json`; hashes are made again."""
        snapshot = Snapshot(
            {
                (kind, name): Resource(kind, name, digest(text), text, secrets)
                for kind, name, text, secrets in value["resources"]
            },
            dict(value["endpoints"]),
            {(kind, name): place for kind, name, place in value["positions"]},
        )
        return cls(
            snapshot,
            value["pools"],
            value["user"],
            value["function_user"],
            value["discovery"],
            value["registration"],
            [Path(path) for path in value["files"]],
            [Path(path) for path in value["code"]],
            [Path(path) for path in value["reloads"]],
            [Weigher(**weigher) for weigher in value["weighers"]],
            value["processes"],
            value["counts"],
            value["acme"],
            value["staples"],
        )


def address_of(address: str, port: int, transport: str = "tcp") -> Address:
    """What to bind for a listener, under the key that the node knows it by."""
    if address.startswith("unix:"):
        return {"key": address, "path": address.removeprefix("unix:")}
    key = f"{transport}:{name_of(address, port)}"
    if transport == "tcp":
        return {"key": key, "address": address, "port": port}
    return {"key": key, "address": address, "port": port, "transport": transport}


def addresses_of(listener: dict[str, Any]) -> list[Address]:
    """What to bind for a listener as it is in the snapshot; one of HTTP/3 has its port by UDP, too."""
    address, port = listener["address"], listener["port"]
    transports = ["udp"] if listener["protocol"] == "udp" else ["tcp"]
    if listener["http3"] is not None:
        transports.append("udp")
    return [address_of(address, port, transport) for transport in transports]


def compile_all(
    gateway: Gateway, compiler: Compiler, position: Position, files: list[Path], folder: Path, runtime: Path
) -> Compiled:
    """Compiles a checked gateway.

    Args:
        gateway: The models.
        compiler: Keeps what it made before.
        position: From a path in the configuration to `file:line`.
        files: What it was read from.
        folder: What relative paths of functions and files start from.

    Raises:
        ConfigError: A folder of files is not there.
        runtime: Where workers' sockets are.
    """
    functions = user_functions(gateway)
    models = {tag: model.located() for tag, model in custom(gateway).items()}
    folders = {name: (folder / (function.path or ".")).resolve() for name, function in functions.items()}
    check_roots(gateway, folder, position)
    weighing = weighers(gateway.backends, folder)
    return Compiled(
        compiler.compile(gateway, position, folder),
        [
            *pools(functions, folders, folder, runtime, models),
            *own_pools(implied(gateway.backends), runtime),
        ],
        gateway.gateway.user,
        gateway.gateway.function_user,
        _discovery(gateway, folder),
        _registration(gateway),
        [*files, *_certificate_files(gateway, folder), *policy_files(gateway, folder)],
        sorted({*folders.values(), *(Path(weigher.directory) for weigher in weighing)}),
        sorted({folders[name] for name, function in functions.items() if function.reload}),
        weighing,
        wanted(gateway.backends, folder, gateway.gateway.function_user),
        {kind: len(getattr(gateway, kind)) for kind in ("listeners", "routes", "backends", "functions")},
        orders(gateway, folder),
        asked(gateway),
    )


def _discovery(gateway: Gateway, folder: Path) -> dict[str, dict[str, Any]]:
    return {
        name: {**backend.model_dump(include={"discovery"})["discovery"], "folder": str(folder)}
        for name, backend in gateway.backends.items()
        if backend.discovery is not None
    }


def _certificate_files(gateway: Gateway, folder: Path) -> list[Path]:
    secured = [listener.tls for listener in gateway.listeners.values() if listener.tls is not None]
    found = {path for tls in secured for path in tls.files(folder)}
    approached = [backend.tls for backend in gateway.backends.values() if backend.tls is not None]
    found |= {path for tls in approached for path in tls.files(folder)}
    return sorted(path.absolute() for path in found)


def _registration(gateway: Gateway) -> dict[str, dict[str, Any]]:
    found = {}
    for name, backend in gateway.backends.items():
        wanted = backend.registration
        if wanted is not None:
            token = wanted.token
            found[name] = {
                "token": token.reveal() if isinstance(token, Secret) else token,
                "max_lease_ms": int(wanted.max_lease),
                "max_endpoints": wanted.max_endpoints,
                "networks": wanted.networks,
            }
    return found
