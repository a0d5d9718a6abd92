# SPDX-License-Identifier: Apache-2.0
"""A decision of the engine as text: one part of the chain per line, with file and line."""

from collections.abc import Callable
from typing import Any

from tidegate.cli.output import paint, plain

Positions = Callable[[str, str], str]
"""From a resource's kind and name to `file:line`; empty when unknown."""

MOST_CONSIDERED = 10
"""Routes that are listed when none takes the request."""


class Chain:
    """Collects the lines of one decision."""

    def __init__(self, decision: dict[str, Any], positions: Positions) -> None:
        self._decision = decision
        self._positions = positions
        self._lines: list[str] = []
        raw = {"path", "considered", "status", "tunnel"}
        self._is_raw = raw.isdisjoint(decision)

    def lines(self) -> list[str]:
        """Everything, from the listener to the upstream request or the answer."""
        decision = self._decision
        self._arrival()
        for policy in decision.get("policies") or []:
            name = plain(policy.get("name") or policy["kind"])
            tried = " (only tried)" if policy.get("shadow") else ""
            by = f" by {plain(policy['by'])}" if policy.get("by") else ""
            place = self._positions("policy", policy["place"]) if policy.get("place") else ""
            self._say("policy", f"{name}: {plain(policy.get('effect'))}{by}{tried}", place)
        if decision["outcome"] == "forward":
            self._endpoints()
            self._upstream()
            self._mirror()
            self._waits()
        else:
            self._answer()
        if decision.get("hsts"):
            self._say("tells", f"Strict-Transport-Security: {plain(decision['hsts'])}")
        if decision["outcome"] == "not_found":
            self._considered()
        return self._lines

    def _say(self, label: str, text: str, note: str = "") -> None:
        self._lines.append(f"  {label:<10} {text}" + (paint(f"   {plain(note)}", "dim") if note else ""))

    def _arrival(self) -> None:
        decision = self._decision
        listener, route = decision.get("listener"), decision.get("route")
        if listener:
            self._say("listener", plain(listener), self._positions("listener", listener))
        if asked := decision.get("client_certificates"):
            self._say("", f"a client certificate is {plain(asked)}")
        if "tunnel" in decision:
            self._say("user", plain(decision.get("user") or "nobody by name"))
            self._say("asks for", f"{plain(decision['host'])} at port {decision['port']}")
        if route:
            kind = "l4_route" if self._is_raw else "route"
            self._say("route", paint(plain(route), "cyan"), self._positions(kind, route))
        elif decision["outcome"] == "not_found":
            what = "connection" if self._is_raw else "request"
            self._say("route", paint(f"none takes this {what}", "red"))
        for name, value in (decision.get("parameters") or {}).items():
            self._say("", f"{{{plain(name)}}} is {plain(value)}")

    def _answer(self) -> None:
        decision = self._decision
        response = decision.get("response") or {}
        status = response.get("status") or decision.get("status")
        outcome = {"not_found": "no route", "reject": "refused", "respond": "answered here", "file": "a file"}
        outcome["proxy"] = "passed on"
        text = " ".join(
            str(part) for part in (status, outcome.get(decision["outcome"], decision["outcome"])) if part
        )
        if self._is_raw:
            text = "reset"
        why = ": ".join(str(decision[key]) for key in ("kind", "detail", "then") if decision.get(key))
        self._say("answer", paint(text, "yellow"), why)
        if decision.get("location"):
            self._say("", f"Location: {plain(decision['location'])}")
        if decision.get("file"):
            note = "the route's fallback" if decision.get("fallback") else ""
            self._say("file", plain(decision["file"]), note)
        for name, value in response.get("headers") or []:
            self._say("", f"{plain(name)}: {plain(value)}")

    def _endpoints(self) -> None:
        decision = self._decision
        backends = decision.get("backends") or []
        for backend in backends:
            name = backend["name"]
            share = f"  {percent(backend['share'])}" if len(backends) > 1 else ""
            self._say("backend", plain(name) + share, self._positions("backend", name))
            if hashed := backend.get("hash"):
                said = f"key {hashed['key']}" if hashed["key"] else "the request has none: drawn by weight"
                self._say("hash", f"{plain(hashed['by'])}: {said}")
            if tls := backend.get("tls"):
                said = f"verified by {plain(tls['by'])}" if tls["verifies"] else "NOT VERIFIED"
                asked = f", asked for as {plain(tls['server_name'])}" if tls["server_name"] else ""
                self._say("tls", said + asked)
            if session := backend.get("affinity"):
                at = session["bound_to"]
                said = "the request has none" if not session["has_session"] else "bound nowhere"
                self._say("session", f"by {session['by']}: " + (f"bound to {plain(at)}" if at else said))
            if any(group["panic"] for group in backend.get("groups") or []):
                self._say("", paint("so few are well that health is not believed", "yellow"))
            if any(each["backend"] == name for each in decision.get("without_endpoint") or []):
                self._say("endpoint", paint("none that could take it", "red"))
            endpoints = [each for each in decision.get("endpoints") or [] if each["backend"] == name]
            for each in endpoints:
                share = f"  {percent(each['share'])}" if len(endpoints) > 1 else ""
                zone = f"  zone {plain(each['zone'])}" if each.get("zone") else ""
                self._say("endpoint", plain(each["address"]) + zone + share)

    def _upstream(self) -> None:
        upstream = self._decision.get("upstream")
        if upstream:
            self._say("upstream", f"{plain(upstream['method'])} {plain(upstream['target'])}")
            for name, value in upstream.get("headers") or []:
                self._say("", f"{plain(name)}: {plain(value)}")

    def _mirror(self) -> None:
        mirror = self._decision.get("mirror")
        if mirror:
            name = mirror["backend"]
            says = (
                f"{plain(name)}  {mirror['percent']} % of requests, bodies up to {mirror['body_size']} bytes"
            )
            self._say("mirror", says, self._positions("backend", name))

    def _waits(self) -> None:
        timeouts = self._decision.get("timeouts") or {}
        parts = [f"{name} {milliseconds(value)}" for name, value in timeouts.items() if value is not None]
        if parts:
            self._say("timeouts", ", ".join(parts))
        retries = self._decision.get("retries") or {}
        if retries.get("attempts"):
            self._say(
                "retries", f"{retries['attempts']} for {', '.join(map(plain, retries.get('methods') or []))}"
            )

    def _considered(self) -> None:
        considered = self._decision.get("considered") or []
        if not considered:
            return
        self._lines += ["", paint("  routes considered", "bold")]
        for each in considered[:MOST_CONSIDERED]:
            place = self._positions("route", each["route"])
            note = paint(f"   {place}", "dim") if place else ""
            self._lines.append(f"    {plain(each['route'])}: {plain(each['verdict'])}{note}")
        if len(considered) > MOST_CONSIDERED:
            self._lines.append(f"    and {len(considered) - MOST_CONSIDERED} more (--json lists all)")


def percent(share: float) -> str:
    """A share of 1 in percent."""
    return f"{share * 100:.3g} %"


def milliseconds(value: int) -> str:
    """Milliseconds in the largest unit that takes them whole."""
    for size, unit in ((3_600_000, "h"), (60_000, "min"), (1_000, "s")):
        if value and value % size == 0:
            return f"{value // size} {unit}"
    return f"{value} ms"
