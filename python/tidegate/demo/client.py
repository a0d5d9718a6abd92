# SPDX-License-Identifier: Apache-2.0
"""A client as simple as can be: one connection for each request, so that nothing is remembered."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import urlencode

Finished: TypeAlias = tuple[int, dict[str, str], bytes]
"""Status, fields by lower-case name, body."""
NAME = "localhost"
"""What the shop is called in its certificate."""


@dataclass(frozen=True)
class Told:
    """One answer as it came.

    Attributes:
        path: What was asked for.
        head: Name and value of each field, repeated ones as well.
    """

    path: str
    status: int
    reason: str
    head: Sequence[tuple[str, str]]
    body: bytes


@dataclass
class Ledger:
    """Where answers are kept; several threads may add to it."""

    answers: list[Told] = field(default_factory=list)

    def note(self, answer: Told) -> None:
        """Keeps an answer."""
        self.answers.append(answer)


@dataclass(frozen=True)
class Answer:
    """What came back, or that nothing did."""

    status: int
    """0 when there was no answer."""
    fields: Mapping[str, str]
    body: bytes
    seconds: float
    failure: str = ""

    @property
    def instance(self) -> str:
        """The service instance that says it answered."""
        return self.fields.get("x-served-by", "")

    @property
    def zone(self) -> str:
        """The zone of that instance."""
        return self.fields.get("x-zone", "")

    @property
    def json(self) -> Any:
        """The body, read as JSON; None when it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def __str__(self) -> str:
        return self.failure or f"{self.status} {self.body[:80].decode('latin-1')}".strip()


def request(
    address: str,
    path: str,
    form: Mapping[str, str] | None = None,
    fields: Mapping[str, str] | None = None,
    patience: float = 10.0,
    ledger: Ledger | None = None,
    trust: ssl.SSLContext | None = None,
) -> Answer:
    """GETs `path` from `IP:port`, or POSTs `form` to it. Never raises: no answer is an answer here.

    Args:
        address: `IP:port`.
        path: Path and query.
        form: Sent as a form; a GET without it.
        fields: Header fields, besides the ordinary ones.
        patience: Seconds to wait for each step.
        ledger: Where the answer is kept; nowhere without it.
        trust: Whose certificates are believed: it is asked over TLS then, as `localhost`.
    """
    begin = time.monotonic()
    try:
        status, got, body = Pending(address, path, form, fields, patience, ledger, trust).finish()
    except (OSError, http.client.HTTPException) as error:
        failure = f"{type(error).__name__} {error}".strip()
        return Answer(0, {}, b"", time.monotonic() - begin, failure)
    return Answer(status, got, body, time.monotonic() - begin)


class Pending:
    """A request that was sent on a new connection and whose answer nobody has read yet."""

    def __init__(
        self,
        address: str,
        path: str,
        form: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        patience: float = 10.0,
        ledger: Ledger | None = None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._path = path
        self._ledger = ledger
        self._reading: Future[Finished] | None = None
        host, _, port = address.rpartition(":")
        if trust is None:
            self._connection = http.client.HTTPConnection(host, int(port), timeout=patience)
        else:
            self._connection = _Secure(host, int(port), patience, trust)
        sent = {"accept": "application/json", "connection": "close", **(fields or {})}
        body = None
        if form is not None:
            body = urlencode(form)
            sent.setdefault("content-type", "application/x-www-form-urlencoded")
        try:
            self._connection.request("GET" if form is None else "POST", path, body=body, headers=sent)
        except OSError:
            self._connection.close()
            raise

    def is_answered(self, seconds: float) -> bool:
        """Waits for the answer, at most so long; `finish` has it then.

        A thread reads: with TLS a socket that can be read may have nothing to say of the answer yet.
        """
        if self._reading is None:
            self._reading = Future()
            threading.Thread(target=self._settle, args=(self._reading,), daemon=True).start()
        try:
            self._reading.exception(seconds)
        except TimeoutError:
            return False
        return True

    @property
    def protocol(self) -> str:
        """What was agreed on inside of TLS (ALPN, RFC 7301); "" without TLS, or when nothing was."""
        sock = self._connection.sock
        return (sock.selected_alpn_protocol() or "") if isinstance(sock, ssl.SSLSocket) else ""

    def finish(self) -> Finished:
        """Waits for the answer: status, fields by lower-case name, body; the connection ends.

        Raises:
            OSError: The connection broke, or nothing came in time.
            http.client.HTTPException: What came is no answer.
        """
        return self._read() if self._reading is None else self._reading.result()

    def _settle(self, reading: Future[Finished]) -> None:
        try:
            reading.set_result(self._read())
        except Exception as error:
            reading.set_exception(error)

    def _read(self) -> Finished:
        try:
            with self._connection.getresponse() as response:
                head, body = response.getheaders(), response.read()
                if self._ledger is not None:
                    self._ledger.note(Told(self._path, response.status, response.reason, head, body))
                return response.status, {name.lower(): value for name, value in head}, body
        finally:
            self.close()

    def close(self) -> None:
        """Ends the connection, whether or not the answer was read."""
        if self._connection.sock is not None:
            with suppress(OSError):
                # A thread that still reads would not notice the end of ours alone.
                socket.socket.shutdown(self._connection.sock, socket.SHUT_RDWR)
        self._connection.close()


class _Secure(http.client.HTTPConnection):
    """Goes to an address, and has whoever is there prove to be `localhost`."""

    default_port = http.client.HTTPS_PORT

    def __init__(self, host: str, port: int, patience: float, trust: ssl.SSLContext) -> None:
        super().__init__(NAME, port, timeout=patience)
        self._address = (host, port)
        self._trust = trust

    def connect(self) -> None:
        """Connects, and believes nobody who can not prove it."""
        bare = socket.create_connection(self._address, self.timeout)
        try:
            bare.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock = self._trust.wrap_socket(bare, server_hostname=NAME)
        except BaseException:
            bare.close()
            raise


def wait_for(condition: Callable[[], bool], seconds: float, pause: float = 0.02) -> bool:
    """Whether `condition` comes true within `seconds`; it is asked at least once."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= end:
            return False
        time.sleep(pause)
    return True
