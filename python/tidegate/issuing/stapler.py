# SPDX-License-Identifier: Apache-2.0
"""Asks the responders of certificates what they say of them (OCSP, RFC 6960), and keeps what may be believed.

Whatever a responder does, handshakes go on as they were: what it said before is shown until that expires.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import random
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from tidegate.events import Events
from tidegate.issuing import answers
from tidegate.issuing.schedule import HOUR, MINUTE

AT_ONCE: Final = 4
"""Responders that are asked at a time."""
_TIMEOUT: Final = 15.0
_MOST: Final = 1 << 16
"""Bytes of an answer: they have one or two thousand."""
Ask = Callable[[str, bytes], bytes]


@dataclass
class _Followed:
    """One certificate that names a responder.

    Attributes:
        cert: In PEM, who signed it behind it.
        responder: Its URL.
        request: What it is sent.
        answer: What it said that counts; `None` for nothing.
        next_at: When it is asked, in seconds since 1970.
        failures: How often it has failed in a row.
        says: Why, the last time.
        is_under_way: Whether it is being asked.
    """

    cert: str
    responder: str
    request: bytes
    answer: answers.Answer | None = None
    next_at: float = 0.0
    failures: int = 0
    says: str = ""
    is_under_way: bool = False


class Refusal(Exception):
    """What a responder said is not to be believed, or it said nothing."""


class Revoked(Refusal):
    """The certificate does not count any more."""


class Stapler:
    """Keeps the answers for the certificates of one instance fresh.

    Args:
        events: Where to say what happens.
        renewed: Called when there are other answers than before.
        version: How tidegate calls itself.
        clock: Seconds since 1970.
        ask: Sends a request to a URL and returns the body of the answer; blocks.
    """

    def __init__(
        self,
        events: Events,
        renewed: Callable[[], Awaitable[None]],
        version: str,
        clock: Callable[[], float] = time.time,
        ask: Ask | None = None,
    ) -> None:
        self._events = events
        self._renewed = renewed
        self._clock = clock
        self._ask = ask or _Asker(version)
        self._followed: dict[str, _Followed] = {}
        self._plain: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._asking: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(AT_ONCE)
        self._wake = asyncio.Event()

    def follow(self, certs: Iterable[str]) -> bool:
        """Takes the certificates that are wanted, in PEM; those without a responder are passed over. Returns
        whether any is left, which `go` sees to."""
        from tidegate import _engine

        wanted = set(certs)
        self._plain &= wanted
        self._followed = {cert: each for cert, each in self._followed.items() if cert in wanted}
        for cert in wanted - self._plain - self._followed.keys():
            inquiry = _engine.revocation_inquiry(cert)
            if inquiry is None or not inquiry[0]:
                self._plain.add(cert)
                continue
            found = _Followed(cert, inquiry[0], inquiry[2])
            if not found.request:
                found.says = "who signed the certificate does not stand behind it, so nobody can be asked"
                found.next_at = float("inf")
            self._followed[cert] = found
        return bool(self._followed)

    def go(self) -> None:
        """Begins, or looks at what is followed now."""
        if self._followed and self._task is None:
            self._task = asyncio.create_task(self._run())
        self._wake.set()

    async def close(self) -> None:
        """Ends."""
        tasks = [*self._asking, *([self._task] if self._task is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def told(self, cert: str) -> dict[str, Any] | None:
        """What there is to know of a certificate's answer: `responder`, `until`, `next_at`, `failures`,
        `says`; moments in seconds since 1970, 0 for none. `None` when nobody is asked."""
        found = self._followed.get(cert)
        if found is None:
            return None
        is_planned = found.next_at != float("inf")
        return {
            "responder": found.responder,
            "until": found.answer.until if found.answer is not None else 0,
            "next_at": int(found.next_at) if is_planned else 0,
            "failures": found.failures,
            "says": found.says,
        }

    async def _run(self) -> None:
        while True:
            now = self._clock()
            for each in self._followed.values():
                if each.next_at <= now and not each.is_under_way:
                    each.is_under_way = True
                    task = asyncio.create_task(self._renew(each))
                    self._asking.add(task)
                    task.add_done_callback(self._asking.discard)
            waits = [each.next_at - now for each in self._followed.values() if not each.is_under_way]
            # Clocks are set, and machines sleep: it is looked at once a minute whatever was planned.
            wait = max(0.05, min([MINUTE, *waits]))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            self._wake.clear()

    async def _renew(self, each: _Followed) -> None:
        try:
            async with self._room:
                is_new = await asyncio.to_thread(self._renew_now, each)
            each.failures, each.says = 0, ""
            if is_new:
                await self._renewed()
        except (Refusal, OSError) as error:
            self._failed(each, str(error))
            if isinstance(error, Revoked):
                await self._renewed()
        finally:
            each.is_under_way = False
            self._wake.set()

    def _renew_now(self, each: _Followed) -> bool:
        from tidegate import _engine

        now = self._clock()
        if each.answer is None:
            # What another control of ours was told, or an instance with the same state directory.
            each.answer = answers.read(each.cert)
            if each.answer is not None:
                each.next_at = half(each.answer, now)
                if each.next_at > now:
                    return False
        came = self._ask(each.responder, each.request)
        try:
            standing, since, until = _engine.revocation_verdict(each.cert, came, int(now))
        except ValueError as error:
            raise Refusal(f"what {each.responder} says can not be used: {error}") from error
        if until <= now:
            raise Refusal(f"what {each.responder} says has expired")
        if standing == "revoked":
            # It is said by who may: what was said before is not shown any more.
            answers.drop(each.cert)
            each.answer = None
            raise Revoked(f"{each.responder} says that the certificate was revoked; get another one")
        if standing != "good":
            raise Refusal(f"{each.responder} does not know the certificate")
        is_new = each.answer is None or each.answer.answer != came
        if is_new:
            answers.write(each.cert, came)
        each.answer = answers.Answer(came, since, until)
        each.next_at = half(each.answer, now)
        return is_new

    def _failed(self, each: _Followed, says: str) -> None:
        wait = min(HOUR, MINUTE << min(each.failures, 10))
        each.failures += 1
        # Spread, so that certificates that failed together do not come back together.
        each.next_at = self._clock() + wait + random.randrange(wait // 10 + 1)
        if says != each.says:
            self._events.warning(f"no new OCSP response: {says}")
        each.says = says


def half(answer: answers.Answer, now: float) -> float:
    """When to ask again: with half of its time over, or of what is left of one that was older when it came;
    not before a minute has passed."""
    middle = answer.since + (answer.until - answer.since) / 2
    if middle <= now:
        middle = now + max(answer.until - now, 0) / 2
    return max(middle, now + MINUTE)


class _Asker(urllib.request.HTTPRedirectHandler):
    """Asks by HTTP (RFC 6960 §A.1), as the system's proxies have it; nothing but the responder itself."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._opener = urllib.request.build_opener(self)

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """A responder that sends one elsewhere is not followed."""

    def __call__(self, url: str, body: bytes) -> bytes:
        headers = {
            "Content-Type": "application/ocsp-request",
            "Accept": "application/ocsp-response",
            "User-Agent": f"tidegate/{self._version}",
        }
        request = urllib.request.Request(url, body, headers, method="POST")
        try:
            with self._opener.open(request, timeout=_TIMEOUT) as response:
                came = _read(response)
        except urllib.error.HTTPError as error:
            error.close()
            raise Refusal(f"{url} answers with {error.code}") from error
        except urllib.error.URLError as error:
            raise Refusal(f"{url} can not be reached: {error.reason}") from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Refusal(f"{url} can not be reached: {error}") from error
        if len(came) > _MOST:
            raise Refusal(f"{url} answers with more than 64 KiB")
        return came


def _read(response: http.client.HTTPResponse) -> bytes:
    """All of it, if it comes in time; a byte more than there may be of one that is too long."""
    ends, came = time.monotonic() + _TIMEOUT, b""
    while len(came) <= _MOST and (piece := response.read1(_MOST + 1 - len(came))):
        came += piece
        if time.monotonic() > ends:
            raise TimeoutError("it answers too slowly")
    return came
