# SPDX-License-Identifier: Apache-2.0
"""Upgrades: what one has come to, for the command that waits for it, and how the supervisor makes way."""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from tidegate.events import Events
from tidegate.protocol import Message
from tidegate.supervisor.control import Control, Reply
from tidegate.supervisor.door import Door
from tidegate.supervisor.identity import Identity
from tidegate.supervisor.loop import SIGNALS, Loop
from tidegate.supervisor.node import Node
from tidegate.supervisor.notify import Notifier
from tidegate.supervisor.succession import Handed, become, examine

READY_WITHIN = 120.0
"""Seconds that a new node, new control and new function workers have until the node serves."""


@dataclass
class Upgrade:
    """One upgrade, from its being asked for to the end of the last node it replaced.

    Attributes:
        number: Counts those of this instance; 0 for none yet.
        state: `none`, `checking` (the installed code reads the configuration), `starting` (its node gets
            ready beside the old one), `draining` (the new node serves, the old one finishes), `done`,
            `failed` (the old node serves as before).
        old: `version` and `pid` of the node that was.
        new: The same of the one that replaces it.
        drain_ms: How long the old one may take; None for `graceful_stop`.
        problems: Why it failed.
        code: The command's exit code.
        drained: `status` of each old node that is gone.
    """

    number: int = 0
    state: str = "none"
    old: dict[str, Any] = field(default_factory=dict)
    new: dict[str, Any] = field(default_factory=dict)
    drain_ms: int | None = None
    problems: list[Any] = field(default_factory=list)
    code: int = 0
    drained: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def read(cls, value: dict[str, Any]) -> "Upgrade":
        """From what a supervisor of any version handed on."""
        known = {each.name for each in fields(cls)}
        return cls(**{key: found for key, found in value.items() if key in known})

    def text(self) -> str:
        """The problems in one line."""
        return "; ".join(f"{each['where']}: {each['message']}".removeprefix(": ") for each in self.problems)


class Upgrades:
    """Has the installed code examined, and becomes it.

    Attributes:
        last: The last upgrade.
        is_handing_on: Whether the supervisor is about to become another program: control is ending.
    """

    def __init__(
        self,
        loop: Loop,
        identity: Identity | None,
        events: Events,
        notifier: Notifier,
        handed: Handed,
        control: Control,
        door: Door,
        save: Callable[[], None],
    ) -> None:
        """Takes what is handed on, and control, which ends before; `save` writes `state.json`."""
        self._loop = loop
        self._identity = identity
        self._events = events
        self._notifier = notifier
        self._handed = handed
        self._control = control
        self._door = door
        self._save = save
        self.last = Upgrade.read(handed.upgrade)
        self.is_handing_on = False

    def ask(self, node: Node, message: Message, reply: Reply) -> None:
        """Begins an upgrade, if nothing is in the way; `message` may have `drain_ms`."""
        if self.last.state in ("checking", "starting"):
            reply(problems=[{"where": "", "message": "an upgrade is under way already"}])
        elif node.process is None or not node.is_up:
            reply(problems=[{"where": "", "message": "there is no node that could be replaced"}])
        else:
            old = {"version": node.version, "pid": node.process.pid}
            number = self.last.number + 1
            self.last = Upgrade(number, "checking", old, drain_ms=message.get("drain_ms"))
            reply(number=number)
            self._events.info("upgrade: checking what is installed", **old)
            try:
                examine(self._loop, replace(self._outline(), is_check=True), self._identity, self._examined)
            except OSError as error:
                self.fail([{"where": "", "message": f"the installed package cannot be run: {error}"}])

    def begin_trial(self, node: Node, version: str) -> None:
        """Notes that a node of `version` gets ready beside `node`, asked for or not."""
        assert node.process is not None
        old = {"version": node.version, "pid": node.process.pid}
        if self.last.state != "checking":
            self.last = Upgrade(self.last.number + 1)
        self.last.old, self.last.state = old, "starting"
        self._events.info("replacing the node", **old, by=version)

    def succeed(self, node: Node, seconds: float) -> None:
        """Notes that `node` serves; the one before has `seconds`."""
        assert node.process is not None
        self.last.new = {"version": node.version, "pid": node.process.pid}
        self.last.state = "draining"
        self._events.info("the new node serves", **self.last.new)
        self._events.info("the old node drains", pid=self.last.old["pid"], at_most_s=seconds)

    def fail(self, problems: list[Any], code: int = 1) -> None:
        """Notes why it came to nothing."""
        self.last.state, self.last.problems, self.last.code = "failed", problems, code
        self._events.error(f"upgrade failed, the node goes on as it was: {self.last.text()}")

    def drained(self, status: dict[str, Any], *, is_last: bool) -> None:
        """Notes the end of a node that was replaced."""
        self.last.drained.append(status)
        if is_last and self.last.state == "draining":
            self.last.state = "done"

    def _examined(self, answer: dict[str, Any]) -> None:
        if self._control.is_stopping:
            # The whole gateway ends.
            return
        if "problems" in answer:
            self.fail(answer["problems"], answer.get("code", 1))
            return
        self.is_handing_on = True
        self._control.stop()
        if self._control.process is None:
            self.hand_on()

    def _outline(self) -> Handed:
        return replace(
            self._handed,
            user=self._identity.name if self._identity is not None else "",
            notify=self._notifier.address,
            is_ready=self._notifier.is_ready,
            upgrade=asdict(self.last),
        )

    def hand_on(self) -> None:
        """Becomes the supervisor that is installed; comes back only when that cannot be."""
        self._save()
        handed = replace(self._outline(), door=self._door.hand_on())
        os.set_inheritable(handed.lock, True)
        try:
            become(handed, [handed.instance, *handed.options["sources"]], SIGNALS)
        except OSError as error:
            self._door.keep()
            os.set_inheritable(handed.lock, False)
            self.is_handing_on = False
            self.fail([{"where": "", "message": f"the installed package cannot be run: {error}"}])
            self._control.resume()
