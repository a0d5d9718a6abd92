# SPDX-License-Identifier: Apache-2.0
"""`tidegate explain` and `tidegate why`: one decision of the engine, asked for or remembered."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from tidegate.cli.asking import ask
from tidegate.cli.chain import Chain, Positions
from tidegate.cli.codes import FAILED, USAGE, refuse, stop
from tidegate.cli.live import find
from tidegate.cli.output import paint, plain, print_json
from tidegate.config.names import STANDARD_METHODS
from tidegate.protocol import Channel, ProtocolError, Refused
from tidegate.runtime import Instance

DEFAULT_FILE = Path("tidegate.yaml")
ADMIN = "admin"
"""The listener of tidegate's own pages, which is not meant unless it is named."""

RAW = ("tcp", "tls", "udp")
"""Protocols of listeners whose connections have no requests."""


FORWARD = "forward"
"""The protocol of forward proxies."""


@dataclass(frozen=True)
class Question:
    """A request to explain, as typed."""

    method: str
    url: str
    headers: Sequence[str] = ()
    client: str | None = None
    listener: str | None = None
    local_address: str | None = None
    begins: str | None = None

    def request(
        self,
        ports: dict[str, int],
        secured: Collection[str],
        raw: Mapping[str, str] = MappingProxyType({}),
        proxies: Sequence[str] = (),
    ) -> dict[str, Any]:
        """As the engine takes it; ends the command when it is no request, or no listener would get it.

        Args:
            ports: The port of each listener, 0 for a Unix socket, in the order of the configuration.
            secured: The listeners that speak TLS.
            raw: Those whose connections have no requests, and what they carry.
            proxies: Those that are forward proxies: CONNECT goes there.
        """
        if self.method not in STANDARD_METHODS and self.method.upper() in STANDARD_METHODS:
            # RFC 9110 §9.1: as typed, it would be a method of its own.
            stop(f"methods are case-sensitive; did you mean `{self.method.upper()}`?", USAGE)
        fields = []
        for header in self.headers:
            name, colon, value = header.partition(":")
            if not colon or not name.strip():
                stop(f"{header!r} is not a field; write it as 'Name: value'", USAGE)
            fields.append([name.strip(), value.strip()])
        own = self.listener
        if self.method == "CONNECT":
            if own is None and not proxies:
                stop("no listener has `protocol: forward`, which CONNECT is for", USAGE)
            own = own or proxies[0]
        elif own is None and proxies and not set(ports) - set(proxies) - {ADMIN}:
            own = proxies[0]
        url = self.url if self.url.startswith("/") or "://" in self.url else f"http://{self.url}"
        try:
            parts, port = urlsplit(url), urlsplit(url).port
        except ValueError as error:
            stop(f"{self.url!r} is no URL: {error}", USAGE)
        if parts.scheme not in ("", "http", "https", "quic", *RAW):
            stop(f"{self.url!r}: http:// and https:// are served; write one of them, or a path alone", USAGE)
        if url.startswith("/") and not any(name.lower() == "host" for name, _ in fields):
            fields.insert(0, ["Host", "localhost"])
        request: dict[str, Any] = {"method": self.method, "url": url, "headers": fields}
        listener = own or _listener(parts.scheme, port, ports, secured, raw)
        if listener is not None:
            request["listener"] = listener
        if self.client is not None:
            request["client"] = self.client
        if self.local_address is not None:
            request["local_address"] = self.local_address
        if self.begins is not None:
            request["begins"] = self.begins
        return request


def _listener(
    scheme: str, port: int | None, ports: dict[str, int], secured: Collection[str], raw: Mapping[str, str]
) -> str | None:
    """The listener with the URL's port; of a URL without one its scheme's, or else the first of the scheme
    that is not for our own pages. A port that nobody listens at ends the command."""
    own_port = {"https": 443, "tcp": None, "tls": 443, "udp": None, "quic": 443}.get(scheme, 80)
    # A connection of QUIC comes by datagrams.
    scheme = "udp" if scheme == "quic" else scheme
    by_port = [name for name, own in ports.items() if own == (port or own_port)]
    # A port of UDP is another one than that of TCP.
    by_port = [name for name in by_port if (raw.get(name) == "udp") == (scheme == "udp")] or by_port
    if port is not None and not by_port:
        known = ", ".join(f"`{name}` at {own or 'a Unix socket'}" for name, own in ports.items())
        there = f"there are {known}" if known else "there is none"
        stop(f"no listener has port {port}; {there}; write one of these ports, or `--listener NAME`", USAGE)
    others = [name for name in ports if name != ADMIN and (name in raw) == (scheme in RAW)]
    others.sort(key=lambda name: raw.get(name) != scheme)
    alike = [name for name in others if not scheme or (name in secured) == (scheme == "https")]
    return next(iter([*by_port, *alike, *others, *ports]), None)


def explain(
    question: Question,
    *,
    files: Sequence[str] | None,
    live: bool,
    name: str | None,
    base: Path | None,
    as_json: bool,
) -> None:
    """Explains by files, or by a running instance; by `tidegate.yaml` here if nothing is said."""
    if files and (live or name):
        stop("--file decides offline; leave --live and --name out", USAGE)
    if not files and not live and name is None and DEFAULT_FILE.exists():
        files = [str(DEFAULT_FILE)]
    if files:
        decision, positions = _offline(question, files)
        basis = "offline: every endpoint counts as healthy"
    else:
        instance = find(name, base)
        decision, positions = _live(question, instance), _positions_of(instance)
        basis = f"live: {instance.name}"
    if as_json:
        route = decision.get("route")
        kind = "route" if "path" in decision else "l4_route"
        print_json({**decision, "position": positions(kind, route) if route else ""})
        return
    print(
        paint(plain(f"{question.method} {question.url}".strip()), "bold")
        + paint(f"   ({basis})", "dim")
        + "\n"
    )
    print("\n".join(Chain(decision, positions).lines()))


def _offline(question: Question, files: Sequence[str]) -> tuple[dict[str, Any], Positions]:
    from tidegate.cli.check import read
    from tidegate.config.problem import ConfigError

    try:
        compiled = read(files)
    except ConfigError as error:
        refuse(error.problems)
    from tidegate import _engine

    listeners = {
        name: json.loads(resource.value)
        for (kind, name), resource in compiled.snapshot.resources.items()
        if kind == "listener"
    }
    ports = {name: each["port"] for name, each in listeners.items()}
    secured = [name for name, each in listeners.items() if each["tls"] is not None]
    raw = {name: each["protocol"] for name, each in listeners.items() if each["protocol"] in RAW}
    proxies = [name for name, each in listeners.items() if each["protocol"] == FORWARD]
    request = json.dumps(question.request(ports, secured, raw, proxies))
    try:
        decision = json.loads(_engine.decide(compiled.snapshot.delta_json(None), request))
    except ValueError as error:
        stop(str(error), USAGE)
    return decision, lambda kind, name: compiled.snapshot.positions.get((kind, name), "")


def _live(question: Question, instance: Instance) -> dict[str, Any]:
    try:
        listeners = ask(instance.node_socket, "status")["listeners"]
        ports = {each["name"]: _port(each["address"]) for each in listeners}
        secured = [each["name"] for each in listeners if each.get("certificates")]
        raw = {each["name"]: each["protocol"] for each in listeners if each.get("protocol") in RAW}
        proxies = [each["name"] for each in listeners if each.get("protocol") == FORWARD]
        request = question.request(ports, secured, raw, proxies)
        decision: dict[str, Any] = ask(instance.node_socket, "decide", request=request)["decision"]
    except Refused as refusal:
        stop(str(refusal), USAGE)
    return decision


def _port(address: str) -> int:
    port = address.rpartition(":")[2]
    return int(port) if port.isdecimal() and not address.startswith("unix:") else 0


def _positions_of(instance: Instance) -> Positions:
    def position(kind: str, name: str) -> str:
        # Control may be dead while the node decides; the place is then not known.
        try:
            with Channel.to(instance.control_socket) as channel:
                return str(channel.call("position", kind=kind, name=name)["position"])
        except (OSError, ProtocolError, Refused):
            return ""

    return position


def why(request_id: str, *, name: str | None, base: Path | None, as_json: bool) -> None:
    """Shows the log entry and the decision of a recent request."""
    instance = find(name, base)
    try:
        entry = ask(instance.node_socket, "why", request_id=request_id)["entry"]
    except Refused as refusal:
        stop(
            f"{instance.name} does not know request {request_id!r}: {refusal.problems[0]['message']}", FAILED
        )
    if as_json:
        print_json(entry)
        return
    print("\n".join(_entry_lines(entry, _positions_of(instance))))


def _entry_lines(entry: dict[str, Any], positions: Positions) -> list[str]:
    lines = []
    for key, value in entry.items():
        shown = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
        place = (
            positions("l4_route" if "ended" in entry else "route", str(value))
            if key == "route" and value
            else ""
        )
        lines.append(f"  {key:<16} {plain(shown)}" + (paint(f"   {place}", "dim") if place else ""))
    return lines
