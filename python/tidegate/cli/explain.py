# SPDX-License-Identifier: Apache-2.0
"""`tidegate explain` and `tidegate why`: one decision, as a chain from listener to upstream request."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tidegate.cli.codes import FAILED, NOT_RUNNING, USAGE, refuse, stop
from tidegate.cli.live import ask, find
from tidegate.cli.output import paint, plain, print_json
from tidegate.protocol import Channel, ProtocolError, Refused
from tidegate.runtime import Instance

DEFAULT_FILE = Path("tidegate.yaml")

Positions = Callable[[str, str], str]
"""From a resource's kind and name to `file:line`; empty when unknown."""


@dataclass(frozen=True)
class Question:
    """A request to explain, as typed."""

    method: str
    url: str
    headers: Sequence[str] = ()
    client: str | None = None
    listener: str | None = None

    def request(self) -> dict[str, Any]:
        """As the engine takes it; ends the command when it is no request."""
        fields = []
        for header in self.headers:
            name, colon, value = header.partition(":")
            if not colon or not name.strip():
                stop(f"{header!r} is not a field; write it as 'Name: value'", USAGE)
            fields.append([name.strip(), value.strip()])
        url = self.url
        if not url.startswith("/") and "://" not in url and url != "*":
            url = f"http://{url}"
        parts = urlsplit(url)
        if parts.scheme not in ("", "http"):
            stop(f"{self.url!r}: only http:// is served; write the URL with it, or a path alone", USAGE)
        request: dict[str, Any] = {"method": self.method, "url": url, "headers": fields}
        if self.client is not None:
            request["client"] = self.client
        if self.listener is not None:
            request["listener"] = self.listener
        return request


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
    request = question.request()
    if not files and not live and name is None and DEFAULT_FILE.exists():
        files = [str(DEFAULT_FILE)]
    positions: Positions
    if files:
        decision, positions = _offline(request, files)
        basis = "offline: every endpoint counts as healthy"
    else:
        instance = find(name, base)
        try:
            decision = ask(instance.node_socket, "decide", request=request)["decision"]
        except Refused as refusal:
            stop(str(refusal))
        positions = _positions_of(instance)
        basis = f"live: {instance.name}"
    if as_json:
        route = decision.get("route")
        print_json({**decision, "position": positions("route", route) if route else ""})
    else:
        print("\n".join(render(question, decision, positions, basis)))


def _offline(request: dict[str, Any], files: Sequence[str]) -> tuple[dict[str, Any], Positions]:
    from tidegate.cli.check import read
    from tidegate.config.problem import ConfigError

    try:
        compiled = read(files)
    except ConfigError as error:
        refuse(error.problems)
    from tidegate import _engine

    decision = json.loads(_engine.decide(compiled.snapshot.delta_json(None), json.dumps(request)))
    return decision, lambda kind, name: compiled.snapshot.positions.get((kind, name), "")


def _positions_of(instance: Instance) -> Positions:
    def position(kind: str, name: str) -> str:
        # Control may be dead while the node decides; the place is then not known.
        try:
            with Channel.to(instance.control_socket) as channel:
                return str(channel.call("position", kind=kind, name=name)["position"])
        except (OSError, ProtocolError, Refused):
            return ""

    return position


def render(question: Question, decision: dict[str, Any], positions: Positions, basis: str) -> list[str]:
    """The chain, one part per line, names to the left."""
    lines = [paint(f"{question.method} {question.url}", "bold") + paint(f"   ({basis})", "dim"), ""]

    def say(label: str, text: str, note: str = "") -> None:
        lines.append(f"  {label:<10} {text}" + (paint(f"   {note}", "dim") if note else ""))

    if decision.get("listener"):
        say("listener", plain(decision["listener"]), positions("listener", decision["listener"]))
    route = decision.get("route")
    if route:
        taken = ", ".join(f"{key}={value}" for key, value in (decision.get("parameters") or {}).items())
        say(
            "route",
            paint(plain(route), "cyan") + (f"  {plain(taken)}" if taken else ""),
            positions("route", route),
        )
    elif decision["outcome"] == "not_found":
        say("route", paint("none takes this request", "red"))
    for policy in decision.get("policies") or []:
        say("policy", f"{plain(policy['kind'])}: {plain(policy.get('effect'))}")
    _say_target(say, decision, positions)
    _say_timings(say, decision)
    if decision["outcome"] in ("not_found", "reject"):
        lines += _considered(decision, positions)
    return lines


def _say_target(say: Callable[..., None], decision: dict[str, Any], positions: Positions) -> None:
    outcome = decision["outcome"]
    if outcome != "forward":
        status = f"{decision['status']} " if decision.get("status") else ""
        say(
            "answer",
            paint(f"{status}{outcome.replace('_', ' ')}", "yellow"),
            plain(decision.get("kind") or " "),
        )
        response = decision.get("response") or {}
        for name, value in response.get("headers") or []:
            say("", f"{plain(name)}: {plain(value)}")
        return
    shares = decision.get("backends") or []
    if len(shares) > 1:
        for each in shares:
            say("backend", plain(each["name"]), _share(each["share"]))
    else:
        name = decision.get("backend") or (shares[0]["name"] if shares else "")
        say("backend", plain(name), positions("backend", name))
    endpoints = decision.get("endpoints") or []
    if decision.get("endpoint") and len(endpoints) <= 1:
        say("endpoint", plain(decision["endpoint"]))
    for each in endpoints if len(endpoints) > 1 or not decision.get("endpoint") else ():
        zone = f"zone {plain(each['zone'])}, " if each.get("zone") else ""
        say("endpoint", plain(each["address"]), zone + _share(each["share"]))
    upstream = decision.get("upstream")
    if upstream:
        say("upstream", f"{plain(upstream['method'])} {plain(upstream['target'])}")
        for name, value in upstream.get("headers") or []:
            say("", f"{plain(name)}: {plain(value)}")


def _say_timings(say: Callable[..., None], decision: dict[str, Any]) -> None:
    for label in ("timeouts", "limits"):
        parts = [
            f"{name} {value}" for name, value in (decision.get(label) or {}).items() if value is not None
        ]
        if parts:
            say(label, plain(", ".join(parts)))


def _considered(decision: dict[str, Any], positions: Positions, most: int = 10) -> list[str]:
    """Why the nearest routes did not take it."""
    considered = decision.get("considered") or []
    if not considered:
        return []
    lines = ["", paint("  routes considered", "bold")]
    for each in considered[:most]:
        place = positions("route", each["route"])
        lines.append(
            f"    {plain(each['route'])}: {plain(each['verdict'])}"
            + (paint(f"   {place}", "dim") if place else "")
        )
    if len(considered) > most:
        lines.append(f"    and {len(considered) - most} more (--json lists all)")
    return lines


def _share(share: float) -> str:
    return f"{share * 100:.3g} %"


def why(request_id: str, *, name: str | None, base: Path | None, as_json: bool) -> None:
    """Shows the log entry and the decision of a recent request."""
    instance = find(name, base)
    try:
        entry = ask(instance.node_socket, "why", request_id=request_id)["entry"]
    except Refused as refusal:
        stop(
            f"{instance.name} does not remember request {request_id!r} ({refusal.problems[0]['message']}); "
            "it keeps the most recent ones, older ones are in the access log",
            FAILED,
        )
    if as_json:
        print_json(entry)
        return
    print("\n".join(_entry_lines(entry, _positions_of(instance))))


def _entry_lines(entry: dict[str, Any], positions: Positions) -> list[str]:
    lines = []
    for key, value in entry.items():
        if key == "decision":
            continue
        shown = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
        place = positions("route", str(value)) if key == "route" and value else ""
        lines.append(f"  {key:<16} {plain(shown)}" + (paint(f"   {place}", "dim") if place else ""))
    decision = entry.get("decision")
    if isinstance(decision, dict) and "outcome" in decision:
        question = Question(str(entry.get("method", "")), str(entry.get("path", "")))
        lines += ["", *render(question, decision, positions, "decided then")]
    return lines


__all__ = ["NOT_RUNNING", "Question", "explain", "render", "why"]
