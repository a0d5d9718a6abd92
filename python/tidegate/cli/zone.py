# SPDX-License-Identifier: Apache-2.0
"""`tidegate zone`: takes a zone's endpoints out of traffic, and in again."""

from pathlib import Path

from tidegate.cli.asking import ask, stop_refused
from tidegate.cli.live import find
from tidegate.cli.output import plain, print_json
from tidegate.protocol import Refused


def set_drained(zone: str, name: str | None, base: Path | None, *, drained: bool, as_json: bool) -> None:
    """Drains a zone of an instance, or takes it in again."""
    instance = find(name, base)
    try:
        reply = ask(instance.node_socket, "zone.set", zone=zone, drained=drained)
    except Refused as refusal:
        stop_refused(refusal, as_json=as_json)
    if as_json:
        print_json(reply)
        return
    what = "takes no new requests" if drained else "takes requests again"
    said = f"{instance.name}: zone {plain(zone)} {what} ({reply['endpoints']} endpoints)"
    others = [each for each in reply["drained"] if each != zone]
    print(said + (f"; drained besides: {', '.join(map(plain, others))}" if others else ""))
