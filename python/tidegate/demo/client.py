# SPDX-License-Identifier: Apache-2.0
"""A client as simple as can be: one connection for each request, so that nothing is remembered."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode


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
) -> Answer:
    """GETs `path` from `IP:port`, or POSTs `form` to it. Never raises: no answer is an answer here.

    Args:
        address: `IP:port`.
        path: Path and query.
        form: Sent as a form; a GET without it.
        fields: Header fields, besides the ordinary ones.
        patience: Seconds to wait for each step.
        ledger: Where the answer is kept; nowhere without it.
    """
    begin = time.monotonic()
    try:
        status, got, body = Pending(address, path, form, fields, patience, ledger).finish()
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
    ) -> None:
        self._path = path
        self._ledger = ledger
        host, _, port = address.rpartition(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=patience)
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

    @property
    def file_number(self) -> int:
        """For select(2)."""
        return int(self._connection.sock.fileno())

    def finish(self) -> tuple[int, dict[str, str], bytes]:
        """Waits for the answer: status, fields by lower-case name, body; the connection ends.

        Raises:
            OSError: The connection broke, or nothing came in time.
            http.client.HTTPException: What came is no answer.
        """
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
        self._connection.close()


def wait_for(condition: Callable[[], bool], seconds: float, pause: float = 0.02) -> bool:
    """Whether `condition` comes true within `seconds`; it is asked at least once."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= end:
            return False
        time.sleep(pause)
    return True
