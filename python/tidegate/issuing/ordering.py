# SPDX-License-Identifier: Apache-2.0
"""Orders one certificate, step by step, so that whoever crashes in between goes on where it was.

What has to be there after a crash is in the store before the authority is asked for what it is needed for:
the account before an order, key and order before the proofs, the proofs on every node before the authority
is told to look, the certificate before the order is forgotten.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tidegate.issuing import schedule
from tidegate.issuing.client import AuthorityError, Client, Order
from tidegate.issuing.store import Fenced, Kept, Lease, Proof, Store, identifier

LEASE: Final = 180.0
"""Seconds for one attempt, over which nobody else orders the same."""
PATIENCE: Final = 60.0
"""Seconds for the authority to look at the proofs, and as many to sign."""
_PROOFS_END: Final = 3600


@dataclass(frozen=True)
class Terms:
    """What is asked of whom.

    Attributes:
        authority: The URL of its directory.
        contact: E-mail addresses.
        roots: What signed the certificate of its site; `None` for the system's.
        external: The account that it knows its customer by.
        key_type: Of which kind keys are.
        challenges: How names can be proved here.
    """

    authority: str
    contact: list[str]
    roots: str | None
    external: tuple[str, bytes] | None
    key_type: str
    challenges: list[str]


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt.

    Attributes:
        made: The certificate; `None` where there is none.
        says: Why not; empty where somebody else orders it.
    """

    made: Kept | None = None
    says: str = ""


class Orderer:
    """Orders certificates of one authority; blocks, so it is for threads.

    Args:
        terms: What is asked of whom.
        holder: What this instance is called among those that share the store.
        version: How tidegate calls itself.
        spread: Called with the store and the version of proofs; returns once every node has them.
        clock: Seconds since 1970.
        opening: Held while an account is opened.
    """

    def __init__(
        self,
        terms: Terms,
        holder: str,
        version: str,
        spread: Callable[[Store, int], None],
        clock: Callable[[], float],
        opening: threading.Lock,
    ) -> None:
        self._terms = terms
        self._holder = holder
        self._version = version
        self._spread = spread
        self._clock = clock
        self._opening = opening

    def order(self, store: Store, names: tuple[str, ...], is_due: Callable[[Store], bool]) -> Outcome:
        """Gets a certificate for `names`, unless another instance is at it or it is not due any more.

        Raises:
            StoreError: The store can not be used; nothing is lost at the authority.
        """
        id = identifier(self._terms.authority, names)
        lease = store.take(id, self._holder, self._clock(), LEASE)
        if lease is None:
            return Outcome()
        try:
            if not is_due(store):
                return Outcome()
            return Outcome(self._attempt(store, lease, names))
        except AuthorityError as error:
            before = store.attempt(id)
            now = int(self._clock())
            attempt = schedule.after_failure(before, error.kind, str(error), error.retry_after, now)
            ends_order = error.kind not in ("unreachable", "timeout")
            store.keep_attempt(lease, attempt, ends_order=ends_order)
            if error.kind == "accountDoesNotExist":
                store.keep_account(self._terms.authority, self._customer(), None)
            return Outcome(says=str(error))
        except Fenced as error:
            return Outcome(says=str(error))
        finally:
            store.release(lease)

    def _customer(self) -> str:
        return self._terms.external[0] if self._terms.external is not None else ""

    def credentials(self, store: Store, client: Client) -> str:
        """The account's, opened where there is none yet."""
        with self._opening:
            return self._credentials(store, client)

    def _credentials(self, store: Store, client: Client) -> str:
        terms = self._terms
        found = store.account(terms.authority, self._customer())
        if found is not None:
            return found
        # Two instances that start together must not open two.
        lease = store.take(f"account {terms.authority}", self._holder, self._clock(), LEASE)
        if lease is None:
            raise AuthorityError("unreachable", "another instance opens the account")
        try:
            found = store.account(terms.authority, self._customer())
            if found is None:
                found = client.open_account(terms.authority, terms.contact, terms.external)
                store.keep_account(terms.authority, self._customer(), found)
            return found
        finally:
            store.release(lease)

    def _attempt(self, store: Store, lease: Lease, names: tuple[str, ...]) -> Kept:
        client = Client(self._terms.roots, self._version)
        credentials = self.credentials(store, client)
        order, key = self._begun(store, lease, client, credentials, names)
        if order.challenges:
            now = int(self._clock())
            version = store.keep_proofs(lease, _proofs(order), now + _PROOFS_END)
            self._spread(store, version)
        failures = store.attempt(lease.id).failures % len(self._terms.challenges)
        kinds = self._terms.challenges[failures:] + self._terms.challenges[:failures]
        store.hold(lease, self._clock() + LEASE)
        chain = client.finish(credentials, order, kinds, list(names), key, PATIENCE)
        made = self._checked(lease.id, names, chain, key)
        store.keep_certificate(lease, self._terms.authority, made)
        return made

    def _begun(
        self, store: Store, lease: Lease, client: Client, credentials: str, names: tuple[str, ...]
    ) -> tuple[Order, str]:
        from tidegate import _engine

        pending = store.pending(lease.id)
        if pending is not None:
            try:
                return client.resume(credentials, pending[0]), pending[1]
            except AuthorityError as error:
                if error.kind in ("unreachable", "timeout"):
                    raise
                # It is over, or forgotten there: another one takes its place.
        key = _engine.make_key(self._terms.key_type)
        before = next(
            (each for each in store.certificates(self._terms.authority) if each.id == lease.id), None
        )
        details = _engine.certificate_details(before.cert) if before is not None else None
        replaces = schedule.renewal_id(details) if details is not None else ""
        try:
            order = client.begin(credentials, list(names), replaces)
        except AuthorityError as error:
            if not replaces or error.kind in ("unreachable", "timeout", "rateLimited", "rejectedIdentifier"):
                raise
            # It knows nothing of the one before, or has had it replaced.
            order = client.begin(credentials, list(names), "")
        store.keep_pending(lease, order.url, key, int(self._clock()))
        return order, key

    def _checked(self, id: str, names: tuple[str, ...], chain: str, key: str) -> Kept:
        from tidegate import _engine

        details: dict[str, Any] | None = _engine.certificate_details(chain)
        problem = _engine.certificate_problem(chain, key)
        if details is None or problem is not None:
            raise AuthorityError("unusable", f"what the authority has signed does not do: {problem}")
        if not set(names) <= {name.lower() for name in details["names"]}:
            raise AuthorityError("unusable", f"the authority has signed for {', '.join(details['names'])}")
        begin, end = details["not_before"], details["not_after"]
        if end <= self._clock():
            raise AuthorityError(
                "clock", "the authority's certificate has ended already: is the clock of this machine right?"
            )
        renew_at = schedule.by_life(begin, end)
        return Kept(id, names, chain, key, details["issuer"], begin, end, renew_at, int(self._clock()))

    def plan(self, store: Store, kept: Kept) -> None:
        """Asks the authority when a certificate is to be renewed; by its life where it does not say."""
        from tidegate import _engine

        now = int(self._clock())
        renew_at, ask_at = kept.renew_at, now + 6 * schedule.HOUR
        details = _engine.certificate_details(kept.cert)
        id = schedule.renewal_id(details) if details is not None else ""
        with contextlib.suppress(AuthorityError):
            client = Client(self._terms.roots, self._version)
            found = client.renewal(self.credentials(store, client), id) if id else None
            if found is not None:
                begin, end, again = found
                ask_at = now + min(max(again, schedule.MINUTE), schedule.DAY)
                if not begin <= renew_at <= end:
                    renew_at = schedule.by_window(begin, end, kept.not_before, kept.not_after)
        store.plan(kept.id, renew_at, ask_at)


def _proofs(order: Order) -> list[Proof]:
    from tidegate import _engine

    proofs = []
    for name, kind, token, answer, digest in order.challenges:
        shown = _engine.challenge_certificate(name, digest) if kind == "tls-alpn-01" else ("", "")
        proofs.append(Proof(name, token, answer if kind == "http-01" else "", *shown))
    return proofs
