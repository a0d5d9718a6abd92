# SPDX-License-Identifier: Apache-2.0
"""`tidegate zone`: takes a zone's endpoints out of traffic, and in again."""

from pathlib import Path

from tidegate.cli.asking import ask
from tidegate.cli.codes import REFUSED
from tidegate.cli.live import find
from tidegate.cli.output import plain, print_json
from tidegate.events import fail
from tidegate.protocol import Refused


def set_drained(zone: str, name: str | None, base: Path | None, *, drained: bool, as_json: bool) -> None:
    """Drains a zone of an instance, or takes it in again."""
    instance = find(name, base)
    try:
        reply = ask(instance.node_socket, "zone.set", zone=zone, drained=drained)
    except Refused as refusal:
        if as_json:
            print_json({"ok": False, "problems": refusal.problems})
        for problem in refusal.problems if not as_json else ():
            fail(f"{problem['where']}: {problem['message']}")
        raise SystemExit(REFUSED) from None
    if as_json:
        print_json(reply)
        return
    what = "takes no new requests" if drained else "takes requests again"
    said = f"{instance.name}: zone {plain(zone)} {what} ({reply['endpoints']} endpoints)"
    others = [each for each in reply["drained"] if each != zone]
    print(said + (f"; drained besides: {', '.join(map(plain, others))}" if others else ""))
