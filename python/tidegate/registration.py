# SPDX-License-Identifier: Apache-2.0
"""For instances that register themselves as endpoints: `with Registration(...):` around their work.

Uses the standard library alone, so that an instance needs nothing else of tidegate. The form of a
registration, for other languages:

    PUT /endpoints/BACKEND HTTP/1.1
    Authorization: Tidegate-HMAC-SHA256 time=SECONDS, nonce=NONCE, signature=HEX
    Content-Type: application/json

    {"address": "10.0.1.10:8080", "lease_ms": 10000, "weight": 1, "zone": "az-1"}

SECONDS is the time of day in whole seconds since 1970, at most 30 from the gateway's. NONCE is 16 to 64 of
`A-Za-z0-9_-`, never the same twice. HEX is the HMAC-SHA256 (RFC 2104) under the token of these lines, joined
by a line feed: `tidegate-registration-1`, `PUT`, the path as it is sent, SECONDS, NONCE, and the SHA-256 of
the body in lower-case hexadecimal. `weight` and `zone` may be left out; a `lease_ms` of 0 ends the
registration. The answer is 200 and `{"address", "lease_ms"}`, or a problem (RFC 9457): 400 for a body that
makes no sense, 401 for a signature that is wrong, old or was seen before.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote, urlsplit

SCHEME: Final = "Tidegate-HMAC-SHA256"
_TIMEOUT: Final = 5.0


class RegistrationError(Exception):
    """The gateway did not take a registration; the text says why."""


def signature(token: str, path: str, seconds: int, nonce: str, body: bytes) -> str:
    """The signature of one request, in lower-case hexadecimal."""
    digest = hashlib.sha256(body).hexdigest()
    text = "\n".join(["tidegate-registration-1", "PUT", path, str(seconds), nonce, digest])
    return hmac.new(token.encode(), text.encode(), hashlib.sha256).hexdigest()


def authorization(token: str, path: str, body: bytes) -> str:
    """The value of `Authorization` for a request that is sent now."""
    seconds, nonce = int(time.time()), secrets.token_urlsafe(18)
    return f"{SCHEME} time={seconds}, nonce={nonce}, signature={signature(token, path, seconds, nonce, body)}"


class Registration:
    """Keeps an endpoint registered for as long as the block runs, and takes it out at its end.

    Args:
        url: The gateway's admin listener, `http://127.0.0.1:9180`.
        backend: As the configuration calls it.
        address: Where this instance serves, as the gateway reaches it.
        token: The backend's `registration.token`.
        lease: Seconds after which the gateway gives an instance up that is not heard of any more. It is
            renewed three times as often.
        weight, zone: As of any endpoint.
        on_error: Called with the text when a renewal fails; tried again until it works.

    Example:
        ```python
        with Registration("http://gateway:9180", "shop", "10.0.1.10:8080", token):
            serve()
        ```
    """

    def __init__(
        self,
        url: str,
        backend: str,
        address: str,
        token: str,
        *,
        lease: float = 10.0,
        weight: int = 1,
        zone: str | None = None,
        on_error: Callable[[str], None] | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"{url!r} is no address of an admin listener; write http://host:port")
        self._host, self._port = parts.hostname, parts.port or 80
        self._path = f"/endpoints/{quote(backend, safe='')}"
        self._token, self._lease = token, lease
        self._settings: Mapping[str, Any] = {"address": address, "weight": weight, "zone": zone}
        self._on_error = on_error
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="tidegate-registration", daemon=True)

    def __enter__(self) -> Self:
        """Registers.

        Raises:
            RegistrationError: The gateway refuses it or is not there.
        """
        self.put(self._lease)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        try:
            self.put(0)
        except RegistrationError as failure:
            # Then its lease ends by itself.
            self._say(str(failure))

    def put(self, lease: float) -> None:
        """Sends one registration for `lease` seconds.

        Raises:
            RegistrationError: The gateway refuses it or is not there.
        """
        body = json.dumps({**self._settings, "lease_ms": round(lease * 1000)}).encode()
        fields = {
            "Authorization": authorization(self._token, self._path, body),
            "Content-Type": "application/json",
        }
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT)
        try:
            connection.request("PUT", self._path, body, fields)
            answer = connection.getresponse()
            said = answer.read(65536)
        except (OSError, http.client.HTTPException) as error:
            raise RegistrationError(f"the gateway does not answer: {error}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise RegistrationError(f"the gateway says {answer.status}: {_detail(said)}")

    def _renew(self) -> None:
        while not self._stop.wait(self._lease / 3):
            try:
                self.put(self._lease)
            except RegistrationError as error:
                self._say(str(error))

    def _say(self, text: str) -> None:
        if self._on_error is not None:
            self._on_error(text)


def _detail(said: bytes) -> str:
    try:
        return str(json.loads(said)["detail"])
    except (ValueError, KeyError, TypeError):
        return said[:200].decode(errors="replace")
