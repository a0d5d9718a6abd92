# SPDX-License-Identifier: Apache-2.0
"""What control asks for before a configuration can serve: sockets, a node, function workers."""

import os
from collections.abc import Callable
from pathlib import Path

from tidegate.issuing.store import SYSTEM
from tidegate.protocol import Message, Pool, WireProblem
from tidegate.supervisor import identity as identities
from tidegate.supervisor.binding import BindFailures, Sockets, ensure
from tidegate.supervisor.control import Reply
from tidegate.supervisor.crew import Crew
from tidegate.supervisor.identity import Identity, IdentityError


class Provision:
    """Answers control; what needs a node waits until it is up.

    Attributes:
        graceful_stop: How long a stop may take, in seconds, as the configuration says.
    """

    def __init__(
        self,
        sockets: Sockets,
        crew: Crew,
        identity: Identity | None,
        save: Callable[[], None],
        *,
        has_user_option: bool,
    ) -> None:
        """Takes what is provided from.

        Args:
            sockets: All that are bound.
            crew: Node and workers.
            identity: Whom the node runs as.
            save: Writes `state.json`.
            has_user_option: Whether the user was chosen on the command line, which then decides.
        """
        self._sockets = sockets
        self._crew = crew
        self._identity = identity
        self._save = save
        self._has_user_option = has_user_option
        self._waiting: list[tuple[list[str], Reply]] = []
        self.graceful_stop = 30.0

    def node_is_up(self) -> None:
        """Answers whoever waited for the node."""
        waiting, self._waiting = self._waiting, []
        for _, reply in waiting:
            reply()

    def forget(self) -> None:
        """Nobody waits for answers any more."""
        self._waiting = []

    def ensure(self, message: Message, reply: Reply) -> None:
        """`sockets.ensure`: binds what is not bound yet, and starts the node when there is none."""
        threads = int(message["threads"])
        user = message.get("user")
        if user and not self._has_user_option and user != (self._identity.name if self._identity else "root"):
            text = f"changing the user to {user!r} needs a start with `--user {user}`"
            reply(problems=[{"where": "gateway.user", "message": text}])
            return
        if self._crew.team.node.threads and self._crew.team.node.threads != threads:
            text = (
                f"the node runs with {self._crew.team.node.threads} threads and cannot change to {threads}; "
                "stop the gateway and start it again"
            )
            reply(problems=[{"where": "gateway.threads", "message": text}])
            return
        try:
            new = ensure(self._sockets, message["addresses"], threads)
        except BindFailures as failures:
            reply(problems=failures.problems())
            return
        self.graceful_stop = message.get("graceful_stop_ms", 30_000) / 1000
        self._save()
        if self._crew.team.node.process is None and not self._crew.team.node.threads:
            self._waiting.append((new, reply))
            self._crew.team.node.start(threads)
        else:
            self._hand_over(new, reply)

    def _hand_over(self, new: list[str], reply: Reply) -> None:
        """Gives new sockets to the node; a node that is being replaced gets them when it starts."""
        if not self._crew.team.node.is_up:
            self._waiting.append((new, reply))
            return

        def handed(answer: Message | None) -> None:
            if answer is None:
                self._waiting.append((new, reply))
            elif answer.get("ok") is True:
                reply()
            else:
                for key in new:
                    self._sockets.drop(key)
                reply(problems=answer.get("problems"))

        self._crew.team.node.put(new, handed)

    def keep(self, message: Message, reply: Reply) -> None:
        """`sockets.keep`: closes what no listener has any more."""
        keep = set(message["keys"])
        gone = [key for key in self._sockets.names() if key not in keep and not key.startswith("worker:")]
        self._drop(gone)
        reply(dropped=gone)

    def _drop(self, keys: list[str]) -> None:
        for key in keys:
            self._sockets.drop(key)
        if keys:
            self._crew.team.node.call("sockets.drop", lambda _reply: None, keys=keys)

    def make_state_folder(self, _message: Message, reply: Reply) -> None:
        """`state.folder`: makes the folder of what outlives the instance, for whom control runs as."""
        try:
            SYSTEM.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._identity is not None:
                os.chown(SYSTEM, self._identity.uid, self._identity.gid)
        except OSError as error:
            says = f"{SYSTEM}: {(error.strerror or str(error)).lower()}; certificates are kept there"
            reply(problems=[{"where": "gateway.acme", "message": f"{says}, or where `store` says"}])
            return
        reply()

    def set_functions(self, message: Message, reply: Reply) -> None:
        """`functions.set`: starts the workers that are wanted, or ends the others."""
        try:
            identity = self._crew.team.workers.identity = self.worker_identity(message.get("user"))
            if identity is not None:
                folders = {Path(pool["directory"]) for pool in message["pools"] if pool["directory"]}
                identities.check_access(identity, sorted(folders), "choose gateway.function_user")
        except IdentityError as error:
            reply(problems=[{"where": "gateway.function_user", "message": str(error)}])
            return
        if message["drop"]:
            self._drop_functions(message["pools"])
            reply()
            return
        new: list[str] = []

        def settled(problems: list[WireProblem]) -> None:
            self._save()
            held = [key for key in new if key in self._sockets]
            if problems:
                reply(problems=problems)
            elif held and self._crew.team.node.is_up:
                self._hand_over(held, reply)
            else:
                # A node that starts gets every socket.
                reply()

        try:
            new += self._crew.team.workers.bind(message["pools"])
        except OSError as error:
            reply(problems=[{"where": "functions", "message": f"a worker's socket cannot be bound: {error}"}])
            return
        # Beside a node that serves, new code has to show that it loads, however little control has yet.
        is_tried = bool(message["tried"]) or self._crew.before is not None
        self._crew.team.workers.set(message["pools"], new, settled, tried=is_tried)

    def _drop_functions(self, pools: list[Pool]) -> None:
        held = {key for key in self._sockets.names() if key.startswith("worker:")}
        self._crew.team.workers.drop(pools)
        gone = sorted(held - set(self._sockets.names()))
        if gone:
            self._crew.team.node.call("sockets.drop", lambda _reply: None, keys=gone)
        self._save()

    def worker_identity(self, name: str | None) -> Identity | None:
        """Whom users' code runs as: the account called `name`, or the ordinary one.

        Raises:
            IdentityError: There is no such user, only root may choose one, or it is root although root's
                rights were given up: control, which asks, must not get them back in this way.
        """
        if self._identity is None and os.geteuid() == 0:
            # Told to keep root's rights: the workers keep them too unless told otherwise.
            return identities.resolve(name) if name else None
        identity = identities.resolve(name) if name else identities.for_workers(self._identity)
        if identity is None and os.geteuid() == 0:
            raise IdentityError(
                "users' code does not run as root; choose another user, or start with `--user root`"
            )
        return identity
