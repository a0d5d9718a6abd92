# SPDX-License-Identifier: Apache-2.0
"""Certificates of an instance: those in force, and those that are got from an authority."""

from __future__ import annotations

import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tidegate import _build as build
from tidegate.control.apply import Node
from tidegate.control.compiled import Compiled
from tidegate.events import Events
from tidegate.issuing.keeper import Keeper, Wanted
from tidegate.issuing.stapler import Stapler
from tidegate.issuing.store import SYSTEM, Proof, StoreError, state_folder
from tidegate.protocol import Message, ProtocolError, Refused
from tidegate.protocol.async_channel import AsyncChannel


class Certificates:
    """Has them ordered, and answers what `tidegate cert` asks."""

    def __init__(
        self,
        directory: Path,
        node: Node,
        supervisor: AsyncChannel,
        events: Events,
        reload: Callable[[], Awaitable[None]],
    ) -> None:
        """Takes what it works with.

        Args:
            directory: The instance's runtime directory.
            node: Answers the authority.
            supervisor: Makes a folder where control may not.
            events: Where to say what happens.
            reload: Puts in force what is new in the store.
        """
        self._node = node
        self._events = events
        self._supervisor = supervisor
        # The next control of this instance goes on with what this one had begun.
        holder = f"{socket.gethostname()}:{directory}"
        self._keeper = Keeper(holder, events, self._publish, reload, build.version())
        self._stapler = Stapler(events, reload, build.version())
        self._current: Compiled | None = None

    async def follow(self, current: Compiled) -> None:
        """Takes what is in force."""
        self._current = current
        wanted = Wanted.of(current.acme) if current.acme is not None else None
        keeps = self._stapler.follow(self._to_staple(current))
        keeps |= wanted is not None and wanted.store.is_relative_to(SYSTEM)
        if keeps and state_folder() == SYSTEM:
            try:
                await self._supervisor.call("state.folder")
            except Refused as refusal:
                # What is served goes on; the keeper says of each certificate that it can not be kept.
                self._events.error(refusal.problems[0]["message"])
        self._keeper.follow(wanted)
        self._stapler.go()

    def node_up(self) -> None:
        """A node came up."""
        self._keeper.node_up()

    async def close(self) -> None:
        """Ends."""
        await self._keeper.close()
        await self._stapler.close()

    async def _publish(self, proofs: list[Proof]) -> None:
        http = [
            {"name": each.name, "token": each.token, "answer": each.answer} for each in proofs if each.answer
        ]
        tls = [{"name": each.name, "cert": each.cert, "key": each.key} for each in proofs if each.cert]
        try:
            await self._node.call("challenges.set", http=http, tls=tls)
        except (ProtocolError, Refused) as error:
            raise StoreError(f"the node does not take what proves names: {error}") from error

    async def listed(self, _message: Message) -> Message:
        """`certificates.list`: each certificate in force, and each that is awaited.

        `{"certificates": [{"names", "issuer", "not_before", "not_after", "source", "listeners", ...}]}`, with
        what `Keeper.told` says where it comes from an authority, and as `ocsp` what `_said` does.
        """
        told = self._keeper.told()
        found: dict[str, dict[str, Any]] = {}
        for name, each in self._in_force():
            details = self._details(each["cert"])
            more = {"source": each["cert_name"], "listeners": [], "ocsp": self._said(each)}
            entry = found.setdefault(each["cert"], {**details, **more})
            entry["listeners"].append(name)
        entries = list(found.values())
        for order in told:
            own = [
                entry
                for entry in entries
                if entry["source"].startswith("acme:") and set(entry["names"]) >= set(order["names"])
            ]
            plan = {key: order[key] for key in order if key not in ("names", "issuer", "not_after")}
            if own:
                own[0].update(plan)
            else:
                source = f"acme:{order['names'][0]}"
                nothing = {"issuer": "", "not_before": 0, "not_after": 0, "listeners": [], "ocsp": None}
                entries.append({"names": order["names"], "source": source, **nothing, **plan})
        return {"certificates": entries}

    def _to_staple(self, current: Compiled) -> list[str]:
        return [
            each["cert"]
            for name, each in self._in_force()
            if name in current.staples and each["cert_name"] not in current.staples[name]
        ]

    def _said(self, certificate: dict[str, Any]) -> dict[str, Any] | None:
        """What authorities say of a certificate: until when clients are shown it (0 for not at all) as
        `until`, whether they take no other as `is_bound`, and what `Stapler.told` says of the responder, if
        one is asked. `None` where there is nothing to say.
        """
        from tidegate import _engine

        inquiry = _engine.revocation_inquiry(certificate["cert"])
        is_bound = inquiry is not None and inquiry[1]
        until = certificate["ocsp_until"] if certificate["ocsp"] is not None else 0
        told = self._stapler.told(certificate["cert"])
        if not (is_bound or until or told):
            return None
        return {**(told or {}), "until": until, "is_bound": is_bound}

    def _in_force(self) -> list[tuple[str, dict[str, Any]]]:
        resources = self._current.snapshot.resources if self._current is not None else {}
        listeners = [each for (kind, _), each in resources.items() if kind == "listener"]
        found = []
        for each in listeners:
            tls = json.loads(each.value)["tls"]
            found += [(each.name, one) for one in (tls["certificates"] if tls is not None else ())]
        return found

    def _details(self, cert: str) -> dict[str, Any]:
        from tidegate import _engine

        details = _engine.certificate_details(cert) or {"names": [], "issuer": ""}
        names = ("names", "issuer", "not_before", "not_after")
        return {name: details.get(name, 0) for name in names}

    async def renew(self, message: Message) -> Message:
        """`certificates.renew`: orders the certificates for `name`, or all, at once; `force` those too that
        are not due.

        Raises:
            Refused: No such certificate is got from an authority, or the store can not be used.
        """
        name: str | None = message.get("name")
        known = [names for each in self._keeper.told() for names in each["names"]]
        if not known or (name is not None and name not in known):
            says = f"there are those for {', '.join(known)}" if known else "no listener has `tls: auto`"
            raise Refused([{"where": name or "tls", "message": f"no such certificate is got here; {says}"}])
        try:
            marked = await self._keeper.renew(name, force=bool(message.get("force")))
        except StoreError as error:
            raise Refused([{"where": name or "tls", "message": str(error)}]) from error
        return {"ordered": [list(group) for group in marked]}
