# SPDX-License-Identifier: Apache-2.0
"""Speaks with an authority, by the standard library: proxies and trusted roots are the system's."""

from __future__ import annotations

import email.utils
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Final, NoReturn

_TIMEOUT: Final = 30.0
_MOST: Final = 1 << 20
"""Bytes of an answer: the longest are chains of certificates."""
Fields = list[tuple[str, str]]


class AuthorityError(Exception):
    """An authority does not give what was asked for.

    Attributes:
        kind: `unreachable`, `timeout`, `unusable`, `unsupported`, `clock`, or what it calls it, such as
            `rateLimited` or `rejectedIdentifier` (RFC 8555 §6.7).
        names: What it says of single names.
        retry_after: Seconds that it wants one to wait; 0 for nothing said.
    """

    def __init__(
        self, kind: str, says: str, names: tuple[tuple[str, str, str], ...] = (), retry_after: int = 0
    ) -> None:
        self.kind = kind
        self.names = names
        self.retry_after = retry_after
        parts = [f"{name}: {detail} ({kind})" if name else detail for name, kind, detail in names]
        super().__init__("; ".join(dict.fromkeys(filter(None, [says, *parts]))))


@dataclass(frozen=True)
class Order:
    """An order that was begun: where it is, and `(name, kind, token, answer, digest)` of its challenges."""

    url: str
    challenges: list[tuple[str, str, str, str, bytes]]


class Client:
    """One conversation with an authority; blocks, so it is for a thread of its own.

    Args:
        roots: A PEM file with what signed the certificate of the authority's site; the system's without it.
        version: How tidegate calls itself.
    """

    def __init__(self, roots: str | None, version: str) -> None:
        from tidegate import _engine

        self._version = version
        self._retry_after = 0
        try:
            context = ssl.create_default_context(cafile=roots)
        except OSError as error:
            raise AuthorityError("unusable", f"{roots}: no PEM file with certificates ({error})") from error
        self._opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
        self._client = _engine.AcmeClient(self._ask)

    def open_account(self, url: str, contact: list[str], external: tuple[str, bytes] | None) -> str:
        """Opens an account at the directory `url`; its credentials, which are secret."""
        mail = [each if each.startswith("mailto:") else f"mailto:{each}" for each in contact]
        try:
            return self._client.open_account(url, mail, external)
        except RuntimeError as error:
            self._fail(error)

    def begin(self, credentials: str, names: list[str], replaces: str) -> Order:
        """Orders a certificate, in the place of another if `replaces` is not empty."""
        try:
            return Order(*self._client.begin(credentials, names, replaces))
        except RuntimeError as error:
            self._fail(error)

    def resume(self, credentials: str, url: str) -> Order:
        """An order that was begun before."""
        try:
            return Order(*self._client.resume(credentials, url))
        except RuntimeError as error:
            self._fail(error)

    def finish(
        self, credentials: str, order: Order, kinds: list[str], names: list[str], key: str, patience: float
    ) -> str:
        """Has the names proved, each by the first of `kinds` that is offered; the chain in PEM."""
        chosen = []
        for name in names:
            offered = [kind for each, kind, *_ in order.challenges if each == name]
            chosen += [(name, kind) for kind in kinds if kind in offered][:1]
        try:
            return self._client.finish(credentials, order.url, chosen, names, key, patience)
        except RuntimeError as error:
            self._fail(error)

    def renewal(self, credentials: str, id: str) -> tuple[int, int, int] | None:
        """Between which moments a certificate is to be renewed, and in how many seconds to ask again."""
        try:
            return self._client.renewal(credentials, id)
        except RuntimeError as error:
            self._fail(error)

    def _fail(self, error: RuntimeError) -> NoReturn:
        if len(error.args) != 3:
            raise error
        kind, says, parts = error.args
        raise AuthorityError(kind, says, tuple(parts), self._retry_after) from None

    def _ask(self, method: str, url: str, fields: Fields, body: bytes) -> tuple[int, Fields, bytes]:
        if not url.startswith("https://"):
            raise OSError(f"{url}: the authority names an address without TLS")
        request = urllib.request.Request(url, data=body or None, method=method)
        for name, value in fields:
            request.add_header(name, value)
        request.add_header("User-Agent", f"tidegate/{self._version}")
        try:
            with self._opener.open(request, timeout=_TIMEOUT) as response:
                return self._answer(response.status, response.headers.items(), response.read(_MOST))
        except urllib.error.HTTPError as answer:
            with answer:
                return self._answer(answer.code, answer.headers.items(), answer.read(_MOST))
        except urllib.error.URLError as error:
            reason = error.reason
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise OSError(
                    f"{url}: its certificate is not trusted ({reason.verify_message}); give "
                    "`gateway.acme.roots`, or set this machine's clock right"
                ) from error
            raise OSError(f"{url}: {reason}") from error
        except OSError as error:
            raise OSError(f"{url}: {error}") from error

    def _answer(self, status: int, fields: Fields, body: bytes) -> tuple[int, Fields, bytes]:
        fields = list(fields)
        told = {name.lower(): value for name, value in fields}
        self._retry_after = _seconds(told.get("retry-after", "")) if status in (429, 503) else 0
        return status, fields, body


def _seconds(text: str) -> int:
    """A `Retry-After` (RFC 9110 §10.2.3) in seconds from now."""
    if text.strip().isdigit():
        return int(text)
    try:
        return max(0, int(email.utils.parsedate_to_datetime(text).timestamp() - time.time()))
    except (TypeError, ValueError):
        return 0
