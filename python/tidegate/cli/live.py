# SPDX-License-Identifier: Apache-2.0
"""Commands that speak to a running instance."""

import time
from pathlib import Path
from typing import Any

from tidegate import runtime
from tidegate.cli.asking import ask, stop_refused
from tidegate.cli.codes import FAILED, NOT_RUNNING, stop
from tidegate.cli.output import paint, plain, print_json, table
from tidegate.cli.processes import process_table, settled, tell_problems
from tidegate.events import fail
from tidegate.protocol import Channel, Message, ProtocolError, Refused
from tidegate.runtime import Instance, InstanceError, NotRunning

RELOAD_TIMEOUT = 120.0
_AGAIN = 0.2
"""Seconds until control is looked for again."""
_TIMES = 3
"""How often a reload may be lost: if control dies of it, more would not help."""
_PANIC = "not believed, too few are well"


def find(name: str | None, base: Path | None) -> Instance:
    """The instance that is meant; ends the command when there is none."""
    try:
        return runtime.find(name, base)
    except NotRunning as error:
        stop(str(error), NOT_RUNNING)
    except InstanceError as error:
        stop(str(error))


def reload(name: str | None, base: Path | None, *, as_json: bool) -> None:
    """Has an instance apply its changed configuration."""
    instance = find(name, base)
    try:
        reply = _ask_to_reload(instance)
    except Refused as refusal:
        after = f"{instance.name} goes on with the configuration it had"
        stop_refused(refusal, as_json=as_json, after=after)
    backends = settled(instance)
    if as_json:
        print_json({**reply, "backends": backends})
        tell_problems(backends, as_json=True)
        return
    changed = reply.get("changed", [])
    what = ", ".join(map(plain, changed[:8])) + (f" and {len(changed) - 8} more" if len(changed) > 8 else "")
    print(
        f"{instance.name}: snapshot {reply['number']}: "
        + (f"changed {what}" if changed else "nothing changed")
    )
    tell_problems(backends, as_json=False)


def _ask_to_reload(instance: Instance) -> Message:
    """Asks again when control goes meanwhile, as in an upgrade, and the supervisor has another one start.

    Raises:
        Refused: The configuration has mistakes.
    """
    deadline = time.monotonic() + RELOAD_TIMEOUT
    lost = 0
    while True:
        try:
            with Channel.to(instance.control_socket) as channel:
                lost += 1
                return channel.call("reload", timeout=RELOAD_TIMEOUT)
        except (OSError, ProtocolError):
            if (
                lost >= _TIMES
                or time.monotonic() > deadline
                or _optional(instance.supervisor_socket, "upgrade.status") is None
            ):
                # Nobody is there who would answer; this says why.
                return ask(instance.control_socket, "reload", timeout=RELOAD_TIMEOUT)
            time.sleep(_AGAIN)


def status(name: str | None, base: Path | None, *, as_json: bool) -> None:
    """Shows what an instance is doing."""
    instance = find(name, base)
    node = _optional(instance.node_socket)
    control = _optional(instance.control_socket)
    if as_json:
        print_json({"instance": instance.name, "node": node, "control": control})
    else:
        print(_render(instance, node, control))
    if node is None:
        fail("the node does not answer; the supervisor's log says why")
        raise SystemExit(FAILED)


def _optional(path: Path, kind: str = "status") -> dict[str, Any] | None:
    """What a process says of itself; None when it is not there, which `status` is to show."""
    try:
        with Channel.to(path) as channel:
            reply = channel.call(kind)
    except (OSError, ProtocolError, Refused):
        return None
    return {key: value for key, value in reply.items() if key not in ("id", "ok")}


def _render(instance: Instance, node: dict[str, Any] | None, control: dict[str, Any] | None) -> str:
    parts = [paint(instance.name, "bold")]
    if control is not None:
        parts.append(f"files      {', '.join(map(plain, control.get('files', [])))}")
        if control.get("last_error"):
            parts.append(paint(f"refused    {plain(control['last_error'])}", "red"))
    else:
        parts.append(paint("control    not running; traffic goes on with the last configuration", "red"))
    if node is not None:
        parts += [
            f"version    {plain(node['version'])}",
            f"snapshot   {node['snapshot']}, {node['threads']} threads, "
            f"up {duration(node.get('uptime_s', 0))}, {node.get('requests', 0)} requests",
        ]
        if drained := node.get("drained_zones"):
            parts.append(paint(f"drained    zones {', '.join(map(plain, drained))}", "yellow"))
        if memory := node.get("memory"):
            parts.append(
                f"memory     {memory['used'] >> 20} of {memory['limit'] >> 20} MiB "
                f"({plain(memory['source'])}): {memory['state']}"
            )
    processes = (control or {}).get("processes") or ([{"role": "node", "pid": node["pid"]}] if node else [])
    parts += ["", table(("PROCESS", "PID"), [(each["role"], each["pid"]) for each in processes])]
    draining = [
        (
            each["pid"],
            each["version"],
            each["connections"] if each["connections"] is not None else "?",
            duration(each["left_s"]),
        )
        for each in (control or {}).get("draining", ())
    ]
    if draining:
        parts += ["", table(("DRAINING NODE", "VERSION", "CONNECTIONS", "CUT IN"), draining)]
    if node is not None:
        rows = [(each["name"], each["address"], each["connections"]) for each in node["listeners"]]
        parts += ["", table(("LISTENER", "ADDRESS", "CONNECTIONS"), rows)]
        if certificates := _certificates(node["listeners"]):
            parts += ["", certificates]
        parts += ["", _endpoints(node["backends"])]
        if secured := _secured(node["backends"]):
            parts += ["", secured]
        if failing := _failing(node["backends"]):
            parts += ["", failing]
        if pressed := _pressed(node["backends"]):
            parts += ["", pressed]
    if own := process_table((control or {}).get("backends", [])):
        parts += ["", own]
    if weights := _weights(control or {}):
        parts += ["", weights]
    return "\n".join(parts)


def _certificates(listeners: list[dict[str, Any]]) -> str:
    rows = [
        (
            each["file"],
            listener["name"],
            ", ".join(each["names"]),
            time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(each["not_after"])),
        )
        for listener in listeners
        for each in listener.get("certificates") or ()
    ]
    return table(("CERTIFICATE", "LISTENER", "NAMES", "EXPIRES"), rows) if rows else ""


def _secured(backends: list[dict[str, Any]]) -> str:
    """The backends that TLS is spoken to, whether they are verified, and what came of the handshakes."""
    rows = []
    for backend in backends:
        tls = backend.get("tls")
        if tls is None:
            continue
        terms, handshakes = tls["terms"], tls["handshakes"]
        own = terms["certificate"]
        failed = ", ".join(f"{count} {reason}" for reason, count in handshakes["failed"].items())
        rows.append(
            (
                backend["name"],
                f"by {terms['by']}" if terms["verifies"] else "NOT VERIFIED",
                handshakes["new"] + handshakes["resumed"],
                handshakes["resumed"],
                failed or "none",
                time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(own["not_after"])) if own else "",
            )
        )
    head = ("TLS TO", "VERIFIED", "HANDSHAKES", "RESUMED", "FAILED", "OUR CERTIFICATE EXPIRES")
    return table(head, rows) if rows else ""


def _endpoints(backends: list[dict[str, Any]]) -> str:
    rows: list[tuple[Any, ...]] = []
    has_priorities = any(each["priority"] for backend in backends for each in backend["endpoints"])
    for backend in backends:
        for at, endpoint in enumerate(backend["endpoints"]):
            rows.append(
                (
                    backend["name"] if at == 0 else " ",
                    endpoint["address"],
                    endpoint.get("zone"),
                    *([endpoint["priority"]] if has_priorities else []),
                    _weight(endpoint),
                    endpoint["source"],
                    "draining" if endpoint["draining"] else endpoint["health"],
                    endpoint["in_flight"],
                    endpoint["connections"],
                    endpoint["failures"],
                )
            )
        if not backend["endpoints"]:
            priority = [0] if has_priorities else []
            none = "found for each request" if backend["name"].startswith("forward:") else "no endpoints"
            rows.append((backend["name"], none, None, *priority, 0, None, None, 0, 0, 0))
    headings = (
        "BACKEND",
        "ENDPOINT",
        "ZONE",
        *(["PRIORITY"] if has_priorities else []),
        "WEIGHT",
        "SOURCE",
        "HEALTH",
        "IN FLIGHT",
        "CONNECTIONS",
        "FAILURES",
    )
    text = table(headings, rows)
    for word, colour in (("down", "red"), ("excluded", "yellow"), ("draining", "yellow")):
        text = text.replace(f"  {word} ", f"  {paint(word, colour)} ")
    return text


def _failing(backends: list[dict[str, Any]]) -> str:
    """Why checks failed last, of endpoints that are down or in doubt."""
    rows = []
    for backend in backends:
        for endpoint in backend["endpoints"]:
            if endpoint["check_failed"]:
                rows.append((backend["name"], endpoint["address"], endpoint["check_failed"]))
    return table(("CHECK FAILED", "ENDPOINT", "WHY"), rows) if rows else ""


def _pressed(backends: list[dict[str, Any]]) -> str:
    """The backends that requests wait for or were refused at, that have a limit of their own, or panic."""
    rows = []
    for backend in backends:
        refused, adaptive = backend["refused"], backend["adaptive"] or {}
        panics = any(group["panic"] for group in backend["groups"] or ())
        if backend["groups"] is None:
            # All are tried once none is well.
            open_ones = [each["health"] for each in backend["endpoints"] if _is_open(each)]
            panics = bool(open_ones) and set(open_ones) <= {"down", "excluded"}
        numbers = (backend["pending"], refused["queue_full"], refused["queue_late"])
        if any(numbers) or adaptive or panics:
            said = _PANIC if panics else "believed"
            rows.append((backend["name"], *numbers, adaptive.get("limit"), said))
    if not rows:
        return ""
    text = table(("PRESSED", "WAITING", "QUEUE FULL", "QUEUE LATE", "LIMIT", "HEALTH"), rows)
    return text.replace(_PANIC, paint(_PANIC, "yellow"))


def _is_open(endpoint: dict[str, Any]) -> bool:
    """Whether it would take requests if it were well."""
    return endpoint["weight"] > 0 and not endpoint["draining"]


def _weight(endpoint: dict[str, Any]) -> object:
    """The configured weight, and the one that counts just now where that is another."""
    weight, now = endpoint["weight"], endpoint["weight_now"]
    return weight if now == weight else f"{weight} now {now:.3g}"


def _weights(control: dict[str, Any]) -> str:
    rows = [
        (
            each["backend"],
            each["handler"],
            "not yet" if each["age_s"] is None else f"{duration(each['age_s'])} ago",
            each["error"],
        )
        for each in control.get("weights", ())
    ]
    if not rows:
        return ""
    text = table(("WEIGHTS OF", "COMPUTED BY", "LAST", "ERROR"), rows)
    for error in {plain(each["error"]) for each in control.get("weights", ()) if each["error"]}:
        text = text.replace(f"  {error}", f"  {paint(error, 'red')}")
    return text


def duration(seconds: float) -> str:
    """Seconds as people say them: `3 d 4 h`, `5 min 2 s`."""
    whole = int(seconds)
    units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")]
    for at, (size, name) in enumerate(units):
        if whole >= size:
            finer, unit = units[min(at + 1, len(units) - 1)]
            rest = whole % size // finer
            return f"{whole // size} {name}" + (f" {rest} {unit}" if rest else "")
    return "0 s"
