# SPDX-License-Identifier: Apache-2.0
"""Models to the snapshot the node runs: resources by stable name, endpoint sets, deltas.

Nothing here knows a room: fields are treated by their type. The form is `crates/config/src/delta.rs`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path as FilePath
from typing import Any, Final

from tidegate.config import addresses, stapled
from tidegate.config.backend import Backend, BackendLimits, BackendTimeouts, Endpoint
from tidegate.config.backend_tls import BackendTls
from tidegate.config.base import Model
from tidegate.config.check import ADMIN, ADMIN_ROUTES, REGISTRATION
from tidegate.config.collection import no_collection
from tidegate.config.compile_policies import PolicyData, Written, on_listener, written, written_on
from tidegate.config.compile_proxy import compile_proxies, proxy_settings
from tidegate.config.cores import usable_cores
from tidegate.config.errors import path_text
from tidegate.config.function import Function
from tidegate.config.gateway import Gateway
from tidegate.config.gateway_settings import AccessLog
from tidegate.config.implied import backend_of, implied, page_route, user_functions
from tidegate.config.issued import issued
from tidegate.config.l4 import TcpRoute, backend_names
from tidegate.config.listener import Listener
from tidegate.config.naming import question_name, route_name
from tidegate.config.problem import ConfigError, Problem
from tidegate.config.route import Route
from tidegate.config.snapshot import Resource, Snapshot, json_text, model_json, resource, resource_of
from tidegate.config.tls import ListenerTls
from tidegate.config.wire import FunctionWire, RouteOrder

CONFIGURATION: Final = "configuration"
"""The source of endpoints that the configuration itself names."""

Path = tuple[int | str, ...]
CONTROL: Final = "tidegate:registration"
"""The backend that is control itself, where instances register themselves."""
ADMIN_PATH: Final[Path] = ("gateway", "admin")


def worker_socket(runtime_directory: str | os.PathLike[str], function: str, number: int) -> str:
    """The path of the Unix socket that worker `number` (from 0) of a function listens on."""
    return str(FilePath(runtime_directory) / "workers" / f"{function}-{number}.sock")


@dataclass(frozen=True, slots=True)
class _Compiled:
    """What became of one model; holds the model, so that its identity is not given to another."""

    model: Model
    resource: Resource


class Compiler:
    """Compiles gateways; remembers what became of each route, so that one seen again costs a look-up.

    Args:
        runtime_directory: Where function workers' sockets are.
        threads: What `threads: auto` means; the cores this process may use if left out.
    """

    def __init__(
        self, runtime_directory: str | os.PathLike[str] = "/run/tidegate/default", threads: int | None = None
    ) -> None:
        self.runtime_directory = runtime_directory
        self.threads = threads or usable_cores()
        self._context: object = None
        self._routes: dict[int, _Compiled] = {}

    def compile(
        self,
        gateway: Gateway,
        position: Callable[[Path], str] | None = None,
        folder: FilePath | None = None,
    ) -> Snapshot:
        """The snapshot of a checked gateway.

        Raises:
            ConfigError: A function's name is too long for its sockets in this runtime directory.

        Args:
            position: From a path such as `("routes", 3)` to `file:line`: `Loaded.places.where`. For a
                gateway built in Python it is the line that built the part.
            folder: What relative roots of files and logs start from; the current folder if left out.
        """
        with no_collection():
            return _Compilation(self, gateway, position, folder or FilePath.cwd()).run()

    def known_routes(self, context: object) -> dict[int, _Compiled]:
        """What became of routes by identity, as long as what they are compiled with stays the same."""
        if self._context != context:
            self._context, self._routes = context, {}
        return self._routes

    def remember_routes(self, routes: dict[int, _Compiled]) -> None:
        """Keeps the routes of the last run alone."""
        self._routes = routes


def compile_gateway(
    gateway: Gateway,
    *,
    runtime_directory: str | os.PathLike[str] = "/run/tidegate/default",
    threads: int | None = None,
) -> Snapshot:
    """The snapshot of a checked gateway, once."""
    return Compiler(runtime_directory, threads).compile(gateway)


class _Compilation:
    """One run: the gateway in, the snapshot out."""

    def __init__(
        self,
        compiler: Compiler,
        gateway: Gateway,
        position: Callable[[Path], str] | None,
        folder: FilePath,
    ) -> None:
        self.compiler = compiler
        self.folder = folder
        self.gateway = gateway
        self.position = position
        self.snapshot = Snapshot()
        self.sets: dict[str, list[dict[str, Any]]] = {}
        self.data = PolicyData(gateway, folder, self._problem)

    def run(self) -> Snapshot:
        gateway = self.gateway
        for name, text in self.data.texts.items():
            self._place(Resource("data", name, name, text), ("policies",), None)
        self.sets = {name: self._rooms(uses) for name, uses in gateway.policies.items()}
        self._settings()
        for name, listener in gateway.listeners.items():
            policies = self._rooms(gateway.gateway.policies)
            self._listener(name, listener, ("listeners", name), policies)
        for name, backend in gateway.backends.items():
            self._backend(name, backend, ("backends", name))
        for name, function in (user_functions(gateway) | implied(gateway.backends)).items():
            self._function(name, function)
        self._admin()
        self._routes()
        return self.snapshot

    def _add(self, kind: str, name: str, value: Any, path: Path, model: Model | None = None) -> None:
        self._place(resource(kind, name, value), path, model)

    def _place(self, resource: Resource, path: Path, model: Model | None) -> None:
        key = (resource.kind, resource.name)
        self.snapshot.resources[key] = resource
        self._position(key, path, model)

    def _position(self, key: tuple[str, str], path: Path, model: Model | None) -> None:
        if self.position is not None:
            self.snapshot.positions[key] = self.position(path)
        elif model is not None and model.source is not None:
            file, line = model.source
            self.snapshot.positions[key] = f"{file}:{line}"

    def _policy_places(self, scope: str, each: Iterable[Written]) -> None:
        for number, (path, policy) in enumerate(each):
            self._position(("policy", f"{scope} {number}"), path, policy)

    def _value(self, model: Model) -> dict[str, Any]:
        """A model as the node reads it: no control-only fields, policy sets in place of their names."""
        value = model.model_dump(exclude=set(type(model).control_only()))
        if "policies" in value:
            uses: list[Any] = model.policies  # type: ignore[attr-defined]
            each = zip(uses, value["policies"], strict=True)
            value["policies"] = self._expanded([self.data.sent(use, dumped) for use, dumped in each])
        return value

    def _rooms(self, uses: list[Any]) -> list[dict[str, Any]]:
        return self._expanded([self.data.sent(use) for use in uses])

    def _expanded(self, uses: list[Any]) -> list[dict[str, Any]]:
        return [room for use in uses for room in (self.sets[use] if isinstance(use, str) else [use])]

    def _settings(self) -> None:
        value = self._value(self.gateway.gateway)
        if value["threads"] == "auto":
            value["threads"] = self.compiler.threads
        log = self.gateway.gateway.access_log
        if log is not None:
            value["access_log"] = {**self._value(log), "path": self._log_path(log.path)}
        # `why` and `slow` show requests also where nothing is logged.
        shown = log or AccessLog(path="-")
        fields, query = (sorted(names) for names in self.data.redacted)
        value["redact_query"] = list(dict.fromkeys([*shown.redact_query, *query]))
        value["redact_fields"] = list(dict.fromkeys([*shown.redact_fields, *fields]))
        self._add("gateway", "gateway", value, ("gateway",))

    def _log_path(self, path: str) -> str:
        if path == "-" or path == "journald" or path.startswith("journald:"):
            return path
        return str(self.folder / path)

    def _listener(self, name: str, listener: Listener, path: Path, policies: list[dict[str, Any]]) -> None:
        value = self._value(listener)
        # Routes that name no listener are on every other, which the node knows best: if they listed
        # them here, a new listener would be a change of every route.
        policies = [] if listener.is_l4 else on_listener(policies, value["policies"])
        value |= {"policies": policies, "named_only": path == ADMIN_PATH}
        if listener.protocol == "forward":
            value["forward"] = self._value(proxy_settings(listener))
        if listener.redirect is not None:
            others = self.gateway.listeners.values()
            secured = (each.port for each in others if each.is_secured_http)
            value["redirect"]["port"] = listener.redirect.port_among(secured)
        if listener.tls is not None:
            texts = self._texts(listener.tls, (*path, "tls"))
            made, awaited = self._issued(name, listener.tls, (*path, "tls"))
            texts["certificates"] = stapled.filled(texts["certificates"] + made, asks=listener.tls.staple)
            value["tls"] = self._value(listener.tls) | texts | {"awaited": awaited}
        if path != ADMIN_PATH and not listener.is_l4:
            around = self.gateway.gateway
            value["error_pages"] += [(statuses, page.model_dump()) for statuses, page in around.error_pages]
            if listener.maintenance is None and around.maintenance is not None:
                value["maintenance"] = around.maintenance.model_dump()
        self._add("listener", name, value, path, listener)
        if policies:
            self._policy_places(f"listener {name}", written_on(self.gateway, listener, path))

    def _texts(self, tls: ListenerTls | BackendTls, path: Path) -> dict[str, Any]:
        texts, wrong = tls.texts(self.folder)
        if wrong:
            raise ConfigError([self._problem(says, (*path, *at), each) for at, says, each in wrong])
        return texts

    def _issued(self, name: str, tls: ListenerTls, path: Path) -> tuple[list[dict[str, Any]], list[str]]:
        try:
            return issued(self.gateway, name, tls, self.folder)
        except ValueError as error:
            raise ConfigError([self._problem(str(error), path, tls)]) from error

    def _problem(self, says: str, path: Path, model: Model) -> Problem:
        file, line = model.source or ("", 0)
        if self.position is not None:
            file, _, after = self.position(path).rpartition(":")
            line = int(after) if after.isdigit() else 0
        return Problem(says, path_text(list(path)), file, line)

    def _backend(self, name: str, backend: Backend, path: Path) -> None:
        wait = None if backend.processes is None else int(backend.processes.wait)
        value = self._value(backend) | {"start_wait": wait}
        if backend.tls is not None:
            value["tls"] = self._value(backend.tls) | self._texts(backend.tls, (*path, "tls"))
        self._add("backend", name, value, path, backend)
        self._policy_places(f"backend {name}", written(self.gateway, backend.policies, (*path, "policies")))
        source = "function" if backend.protocol == "function" else CONFIGURATION
        endpoints = [{**endpoint.model_dump(), "found_by": source} for endpoint in backend.endpoints]
        self.snapshot.endpoints[name] = json_text(endpoints)

    def _function(self, name: str, function: Function) -> None:
        sockets = [
            worker_socket(self.compiler.runtime_directory, function.pool or name, number)
            for number in range(function.workers)
        ]
        if len(sockets[-1].encode()) > addresses.LONGEST_UNIX_PATH:
            says = f"its sockets would be called `{sockets[-1]}`, which is too long; choose a shorter name"
            raise ConfigError([Problem(says, path=f"functions.{name}")])
        value = {**self._value(function), "workers": sockets}
        self._add(
            "function", name, FunctionWire.model_validate(value).model_dump(), ("functions", name), function
        )
        if function.kind in ("policy", "health_check"):
            return
        # A function is a backend whose endpoints are its workers.
        backend = Backend(
            endpoints=[Endpoint(address=f"unix:{socket}") for socket in sockets],
            limits=BackendLimits(connections=function.concurrency),
            timeouts=BackendTimeouts(pending=function.pending),
        )
        self._backend(
            f"function:{name}", backend.model_copy(update={"protocol": "function"}), ("functions", name)
        )

    def _admin(self) -> None:
        admin = self.gateway.gateway.admin
        if admin is None:
            return
        self._listener(ADMIN, Listener(address=admin.address, port=admin.port), ADMIN_PATH, [])
        if self._takes_registrations():
            socket = FilePath(self.compiler.runtime_directory) / "registration.sock"
            backend = Backend(endpoints=[Endpoint(address=f"unix:{socket}")])
            self._backend(CONTROL, backend, ADMIN_PATH)

    def _takes_registrations(self) -> bool:
        has_admin = self.gateway.gateway.admin is not None
        return has_admin and any(each.registration is not None for each in self.gateway.backends.values())

    def _routes(self) -> None:
        known = self.compiler.known_routes((self.sets, self.folder))
        current: dict[int, _Compiled] = {}
        names: list[str] = []
        connections: list[str] = []
        for number, route in enumerate(self.gateway.routes):
            path = ("routes", number)
            if not isinstance(route, Route):
                connections.append(route_name(route))
                value = {"hosts": [], "responses": None, "carries": route.type, **self._value(route)}
                self._add("l4_route", connections[-1], value, path, route)
                self._url_backends(route, path)
                continue
            # What a policy read may be another than last time.
            compiled = known.get(id(route)) or self._route(route)
            if not self.data.has(route.policies):
                current[id(route)] = compiled
            names.append(compiled.resource.name)
            self._place(compiled.resource, path, route)
            if route.policies:
                each = written(self.gateway, route.policies, (*path, "policies"))
                self._policy_places(f"route {names[-1]}", each)
            self._url_backends(route, path)
            if question := route.question(question_name(names[-1])):
                names.append(route_name(question))
                self._place(self._route(question).resource, path, route)
        self.compiler.remember_routes(current)
        for name, page in ADMIN_ROUTES.items() if self.gateway.gateway.admin is not None else ():
            names.append(name)
            # A user can not write an internal target, so it takes the place of another.
            value = self._value(page_route(ADMIN, name.removeprefix(ADMIN)))
            value["to"] = {"type": "internal", "page": page}
            self._add("route", name, value, ADMIN_PATH)
        if self._takes_registrations():
            match = {"path": "/endpoints", "methods": ["PUT"]}
            route = Route.model_validate({"listeners": [ADMIN], "match": match, "to": {"respond": 200}})
            target = {"type": "forward", "backends": [{"backend": CONTROL, "weight": 1}]}
            names.append(REGISTRATION)
            self._add("route", REGISTRATION, {**self._value(route), "to": target}, ADMIN_PATH)
        names += compile_proxies(self.gateway.listeners, self._value, self._add)
        self._add("route_order", "routes", RouteOrder(names=names, l4=connections).model_dump(), ("routes",))

    def _route(self, route: Route) -> _Compiled:
        name = route_name(route)
        if not route.policies and route.to.type != "files" and route.try_files is None:
            # As below, without a step between model and JSON: most of 10,000 routes are like this.
            return _Compiled(route, resource_of("route", name, partial(model_json, route)))
        value = self._value(route)
        if route.to.type == "files":
            value["to"]["root"] = str(self.folder / route.to.root)
        if route.try_files is not None:
            # No choice of targets here, so that there is no tag.
            del value["try_files"]["type"]
            value["try_files"]["root"] = str(self.folder / route.try_files.root)
        return _Compiled(route, resource("route", name, value))

    def _url_backends(self, route: Route | TcpRoute, path: Path) -> None:
        for name in backend_names(route):
            if addresses.is_url(name) and ("backend", name) not in self.snapshot.resources:
                tells = addresses.backend_url if isinstance(route, Route) else addresses.tcp_url
                self._backend(name, backend_of(tells(name)), path)
