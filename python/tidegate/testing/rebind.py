# SPDX-License-Identifier: Apache-2.0
"""Makes a configuration fit for a test: free ports of loopback, a log of its own, absolute folders."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tidegate.config.backend import Backend
from tidegate.config.base import Model
from tidegate.config.gateway import Gateway
from tidegate.config.gateway_settings import AccessLog, Admin
from tidegate.config.implied import user_functions
from tidegate.config.listener import Listener
from tidegate.config.load import load, loads
from tidegate.config.policy_settings import PolicySettings
from tidegate.config.problem import ConfigError
from tidegate.config.route import Route

Configuration = Gateway | str | Path
"""Models, YAML, or a file."""

LOOPBACK = "127.0.0.1"
_PORT_ZERO = re.compile(r"(\bport[\"']?\s*:\s*)0\b")
_FIRST_STAND_IN = 60_001


@dataclass(frozen=True)
class Source:
    """A configuration that was read: the models, and what relative folders of functions start from."""

    gateway: Gateway
    folder: Path


def read(configuration: Configuration) -> Source:
    """Reads any form of a configuration. A listener's `port` may be 0, since no port is used as written.

    Raises:
        ConfigError: It has mistakes.
    """
    if isinstance(configuration, Gateway):
        return Source(configuration, Path.cwd())
    if isinstance(configuration, Path):
        try:
            loaded = load(configuration)
        except ConfigError:
            if configuration.is_dir() or not _PORT_ZERO.search(configuration.read_text()):
                raise
            text = _with_ports(configuration.read_text())
            loaded = loads(text, str(configuration), folder=configuration.parent)
        return Source(loaded.gateway, loaded.folder.absolute())
    loaded = loads(_with_ports(configuration), "<test>")
    return Source(loaded.gateway, loaded.folder.absolute())


def _with_ports(text: str) -> str:
    """Port 0 means nothing to the models: each gets a number that no other listener of the text has."""
    numbers = itertools.count(_FIRST_STAND_IN)
    return _PORT_ZERO.sub(lambda found: f"{found[1]}{next(numbers)}", text)


def listener_names(gateway: Gateway) -> list[str]:
    """The names of everything that listens on a port, `admin` last if there is one."""
    names = [name for name, listener in gateway.listeners.items() if not listener.address.startswith("unix:")]
    return [*names, *(["admin"] if gateway.gateway.admin is not None else [])]


def rebind(source: Source, ports: Mapping[str, int], log: Path) -> Gateway:
    """The same gateway on `ports` of loopback by listener, logging to `log`.

    A listener on an IPv6 address gets `::1`; Unix sockets stay.
    """
    gateway = source.gateway
    listeners = {
        name: _secured(
            listener.model_copy(update={"address": loopback(listener.address), "port": ports[name]})
            if name in ports
            else listener,
            source.folder,
        )
        for name, listener in gateway.listeners.items()
    }
    settings = gateway.gateway
    access_log = settings.access_log or AccessLog(path=str(log))
    if not access_log.path.startswith("journald"):
        access_log = access_log.model_copy(update={"path": str(log)})
    placed = partial(_policies, folder=source.folder)
    update: dict[str, Any] = {"access_log": access_log, "policies": placed(settings.policies)}
    if "admin" in ports:
        update["admin"] = Admin(address=LOOPBACK, port=ports["admin"])
    functions = {
        name: function.model_copy(
            update={
                "path": str((source.folder / (function.path or ".")).resolve()),
                "venv": str(source.folder / function.venv) if function.venv else None,
            }
        )
        for name, function in user_functions(gateway).items()
    }
    routes = [
        route.model_copy(
            update={"to": route.to.model_copy(update={"root": str(source.folder / route.to.root)})}
        )
        if isinstance(route, Route) and route.to.type == "files"
        else route
        for route in gateway.routes
    ]
    routes = [
        route.model_copy(update={"policies": placed(route.policies)})
        if isinstance(route, Route) and route.policies
        else route
        for route in routes
    ]
    backends = {name: _placed(backend, source.folder) for name, backend in gateway.backends.items()}
    return gateway.model_copy(
        update={
            "routes": routes,
            "policies": {name: placed(uses) for name, uses in gateway.policies.items()},
            "backends": backends,
            "gateway": settings.model_copy(update=update),
            "listeners": listeners,
            "functions": functions,
        }
    )


def _policies(uses: Iterable[Model | str], folder: Path) -> list[Model | str]:
    """Policies whose files are where their configuration says, wherever that is read from."""
    return [use.found(folder) if isinstance(use, PolicySettings) else use for use in uses]


def _placed(backend: Backend, folder: Path) -> Backend:
    """A backend whose processes and certificates are where its configuration says, wherever that is read
    from."""
    backend = backend.model_copy(update={"policies": _policies(backend.policies, folder)})
    if backend.tls is not None:
        backend = backend.model_copy(update={"tls": backend.tls.found(folder)})
    if backend.processes is None:
        return backend
    update = {
        "directory": str((folder / (backend.processes.directory or ".")).resolve()),
        "venv": str(folder / backend.processes.venv) if backend.processes.venv else None,
    }
    return backend.model_copy(update={"processes": backend.processes.model_copy(update=update)})


def _secured(listener: Listener, folder: Path) -> Listener:
    """A listener whose certificates and files are where its configuration says, wherever it is read from."""
    listener = listener.model_copy(update={"policies": _policies(listener.policies, folder)})
    if listener.tls is None:
        return listener
    update = {
        "certificates": [each.found(folder) for each in listener.tls.certificates],
        "client_certificates": [each.found(folder) for each in listener.tls.client_certificates],
    }
    return listener.model_copy(update={"tls": listener.tls.model_copy(update=update)})


def loopback(address: str) -> str:
    """The loopback address of the same family; `::`, which is both, becomes IPv4's."""
    bare = address.strip("[]")
    return "::1" if ":" in bare and bare != "::" else LOOPBACK
