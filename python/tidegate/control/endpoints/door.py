# SPDX-License-Identifier: Apache-2.0
"""Where instances register themselves over HTTP: behind the admin listener, which passes `/endpoints/` on.

What arrives was a well-formed request to the node and was rebuilt by it, so that little is to be read here.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import re
import time
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from tidegate.control.endpoints.leases import Leases
from tidegate.protocol import Refused
from tidegate.registration import SCHEME, signature

WINDOW: Final = 30
"""Seconds that the clocks of instance and gateway may differ."""
_MOST_NONCES: Final = 200_000
_MOST_BODY: Final = 4096
_PATIENCE: Final = 5.0
_CREDENTIALS: Final = re.compile(
    re.escape(SCHEME) + r" time=(\d{1,12}), ?nonce=([A-Za-z0-9_-]{16,64}), ?signature=([0-9a-f]{64})",
    re.ASCII,
)
_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    503: "Service Unavailable",
}

Wanted = dict[str, Any]
"""`{"token", "max_lease_ms", "max_endpoints", "networks"}`, as `Compiled.registration` has it."""


class _Problem(Exception):
    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Door:
    """Takes registrations.

    Attributes:
        wanted: By backend, who may register; others are not told apart from those that do not exist.
    """

    def __init__(self, directory: Path, leases: Leases) -> None:
        self.wanted: Mapping[str, Wanted] = {}
        self._path = directory / "registration.sock"
        self._leases = leases
        self._nonces: dict[str, float] = {}
        self._server: asyncio.Server | None = None

    async def open(self) -> str:
        """Listens if anybody may register; returns why it cannot, or nothing."""
        if self._server is not None or not self.wanted:
            return ""
        try:
            self._path.unlink(missing_ok=True)
            before = os.umask(0o177)
            try:
                self._server = await asyncio.start_unix_server(self._serve, str(self._path), limit=16384)
            finally:
                os.umask(before)
        except OSError as error:
            return f"{self._path}: {error.strerror}"
        return ""

    def close(self) -> None:
        """Takes no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                try:
                    status, said = 200, await self._take(reader)
                except _Problem as problem:
                    status = problem.status
                    said = {"status": status, "title": _REASONS[status], "detail": str(problem)}
                kind = "application/json" if status == 200 else "application/problem+json"
                body = json.dumps(said).encode()
                head = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {kind}\r\n"
                head += f"WWW-Authenticate: {SCHEME}\r\n" if status == 401 else ""
                head += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            # The node answers for us.
            pass
        finally:
            writer.close()

    async def _take(self, reader: asyncio.StreamReader) -> dict[str, Any]:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        _, path, _ = head[0].split(" ")
        lines = [line.partition(":") for line in head[1:]]
        fields = {name.lower(): value.strip() for name, _, value in lines}
        length = fields.get("content-length", "")
        if not length.isdecimal() or int(length) > _MOST_BODY:
            raise _Problem(400, f"write a body of at most {_MOST_BODY} bytes, with its length")
        body = await reader.readexactly(int(length))
        backend = unquote(path.removeprefix("/endpoints/"))
        wanted = self._authorized(backend, path, fields.get("authorization", ""), body)
        try:
            settings = json.loads(body)
            lease = settings.pop("lease_ms")
            if set(settings) - {"address", "weight", "zone", "draining"}:
                raise KeyError
            self._allowed(str(settings["address"]), wanted)
            if isinstance(lease, int) and lease > wanted["max_lease_ms"]:
                raise _Problem(400, f"`lease_ms` is at most {wanted['max_lease_ms']} here")
            return await self._leases.register(backend, settings, lease, most=wanted["max_endpoints"])
        except Refused as refusal:
            first = refusal.problems[0]
            raise _Problem(400, f"{first['where']}: {first['message']}") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            says = "write `address` and `lease_ms`, and if you like `weight`, `zone` and `draining`"
            raise _Problem(400, says) from None

    def _authorized(self, backend: str, path: str, credentials: str, body: bytes) -> Wanted:
        """Who asks may register there; a signature is good for once.

        Raises:
            _Problem: 401, without a word on whether there is such a backend.
        """
        found = _CREDENTIALS.fullmatch(credentials)
        wanted = self.wanted.get(backend)
        seconds, nonce, given = found.groups() if found is not None else ("0", "", "")
        # Whoever guesses learns nothing from the time that this takes.
        token = wanted["token"] if wanted is not None else "nobody knows"
        is_right = hmac.compare_digest(signature(token, path, int(seconds), nonce, body), given)
        if wanted is None or not is_right:
            raise _Problem(401, "the signature is not right")
        now = time.time()
        if abs(now - int(seconds)) > WINDOW:
            raise _Problem(401, f"the clocks differ by more than {WINDOW} s")
        if len(self._nonces) >= _MOST_NONCES:
            self._nonces = {each: end for each, end in self._nonces.items() if end > now}
        if self._nonces.get(nonce, 0) > now:
            raise _Problem(401, "this request was here before")
        if len(self._nonces) >= _MOST_NONCES:
            raise _Problem(503, "too many registrations at a time")
        self._nonces[nonce] = int(seconds) + 2 * WINDOW + 1
        return wanted

    def _allowed(self, address: str, wanted: Wanted) -> None:
        # A socket of this machine is nothing that somebody else may offer.
        if address.startswith("unix:"):
            raise _Problem(403, "Unix sockets register with `tidegate endpoint register`")
        networks = wanted["networks"]
        if not networks:
            return
        try:
            host = ip_address(address.rpartition(":")[0].removeprefix("[").removesuffix("]"))
        except ValueError:
            raise _Problem(403, "register an IP address: the backend limits them to networks") from None
        if not any(host in ip_network(network) for network in networks):
            raise _Problem(403, f"{host} is in none of the backend's networks")
