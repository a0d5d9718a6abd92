# SPDX-License-Identifier: Apache-2.0
"""Step: three versions of HTTP on one port, a WebSocket, and a service that speaks no HTTP at all."""

from __future__ import annotations

import json
import ssl
from collections import Counter
from contextlib import ExitStack
from typing import Any

from tidegate.demo.client import request
from tidegate.demo.line import Scanner
from tidegate.demo.pushed import listen
from tidegate.demo.running import ConfigFile
from tidegate.demo.tour.step import Step, Tour
from tidegate.demo.tour.versions import ask_version, log_size, logged

SCANNERS = 6
STAGES = ["ordered", "packed", "sent"]
BALANCER = "load-balancer"


def _run(tour: Tour) -> None:
    _versions(tour)
    _certificate(tour)
    _websocket(tour)
    _lines(tour)


def _versions(tour: Tour) -> None:
    for version, way in (("1.1", "TCP"), ("2", "TCP"), ("3", "QUIC")):
        name = f"HTTP/{version}"
        offset = log_size(tour, BALANCER)
        answer = ask_version(tour, version, "/")
        entry = logged(tour, BALANCER, offset, name) if answer.status else {}
        seen = f"{entry['protocol']}, {entry['tls']}" if entry else "nothing"
        tour.check(
            answer.status == 200 and b"Harbour Shop" in answer.body and bool(entry),
            f"{name}: the page over {way}, agreed on as `{answer.protocol or 'nothing'}`, "
            f"logged as {seen} {answer.failure}".strip(),
        )
    told = tour.ask("/").fields.get("alt-svc", "")
    tour.check(
        f'h3=":{tour.running.places.port}"' in told,
        f"browsers are told where HTTP/3 is: `Alt-Svc: {told or 'nothing'}`",
    )


def _certificate(tour: Tour) -> None:
    running = tour.running
    plain = request(running.plain, "/orders", ledger=tour.ledger)
    to = plain.fields.get("location", "nowhere")
    tour.check(
        (plain.status, to) == (308, f"https://127.0.0.1:{running.places.port}/orders"),
        f"without TLS there is only the way to it: {plain.status}, {to}",
    )
    # It verifies, and trusts nobody: as a browser that was not told of the authority.
    refused = request(running.entry, "/", trust=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    tour.check(
        "CERTIFICATE_VERIFY_FAILED" in refused.failure,
        "a client that does not trust the authority for development refuses the certificate",
    )


def _websocket(tour: Tour) -> None:
    running = tour.running
    tour.ask("/cart/1", form={"sku": "lamp"})
    order: dict[str, Any] = tour.ask("/orders", form={"user": "1"}).json or {}
    path = f"/orders/{order.get('order')}/status"
    mark = tour.evidence.mark()
    heard = listen(running.entry, path, running.trust, {"origin": running.places.entry})
    stages = [json.loads(text)["status"] for _, text in heard.texts]
    told = ", ".join(f"{text} {at:.1f} s" for text, (at, _) in zip(stages, heard.texts, strict=True))
    # On a machine that is slow the first may be over when the WebSocket is there.
    tour.check(
        len(stages) >= 2 and stages == STAGES[-len(stages) :] and heard.code == 1000,
        f"order {order.get('order')}, pushed over one WebSocket: {told or 'nothing'} {heard.failure}".strip(),
    )
    seen = tour.evidence.since(mark, "order-*", path)
    way = seen[0].fields.get("via", "") if seen else ""
    tour.check(
        len(seen) == 1 and BALANCER in way and "gateway-" in way,
        f"{seen[0].instance if seen else 'nobody'} pushed it, asked by way of {way or 'nobody'}",
    )
    stolen = listen(running.entry, path, running.trust, {"origin": "https://elsewhere.example"})
    tour.check(stolen.status == 403, f"a page of somebody else's is refused one (status {stolen.status})")


def _lines(tour: Tour) -> None:
    running = tour.running
    mark = tour.evidence.mark()
    answers = []
    with ExitStack() as stack:
        for _ in range(SCANNERS):
            scanner = stack.enter_context(Scanner(running.stock))
            answers.append(scanner.ask("lamp"))
        listeners, backends = _status(tour)
    tour.check(
        all(answer.startswith("lamp: 12 on shelf A1") for answer in answers),
        f"{SCANNERS} scanners say `lamp` over TCP and hear `{answers[0] or 'nothing'}`",
    )
    asked = Counter(seen.instance for seen in tour.evidence.since(mark, "stock-*", "lamp"))
    shown = ", ".join(f"{name} {count}" for name, count in sorted(asked.items())) or "nobody"
    tour.check(
        len(asked) == 2 and sum(asked.values()) == SCANNERS,
        f"two endpoints share their connections: {shown}",
    )
    open_now = sorted(backends.get("stock", {}).values())
    tour.check(
        listeners.get("stock") == SCANNERS and sum(open_now) == SCANNERS,
        f"`tidegate status` shows {listeners.get('stock', 0)} connections at the listener `stock`, "
        f"{' and '.join(map(str, open_now)) or 'none'} at its endpoints",
    )


def _status(tour: Tour) -> tuple[dict[str, int], dict[str, dict[str, int]]]:
    """What `tidegate status` counts: connections by listener; by backend and endpoint, what is in flight."""
    said = tour.running.tidegate("status", "--name", BALANCER, "--json").stdout
    node = json.loads(said or "{}").get("node", {})
    listeners = {each["name"]: each["connections"] for each in node.get("listeners", [])}
    backends = {
        each["name"]: {one["address"]: one["in_flight"] for one in each["endpoints"]}
        for each in node.get("backends", [])
    }
    return listeners, backends


def _without_http3(config: ConfigFile) -> None:
    config.replace(", http3: true", "")


STEP = Step(
    name="protocols",
    title="HTTP/1.1, HTTP/2 and HTTP/3 on one port, a WebSocket, and a service that speaks plain TCP",
    run=_run,
    broken="HTTP/3 at the load balancer",
    edits={"load_balancer.yaml": _without_http3},
)
