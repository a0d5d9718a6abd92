# SPDX-License-Identifier: Apache-2.0
"""The wire form: four bytes of length, most significant first, then a JSON object in UTF-8.

A request is `{"id": int, "type": str, ...}`; its reply `{"id": the same, "ok": true, ...}` or
`{"id", "ok": false, "problems": [{"where", "message"}]}`. Descriptors travel by `SCM_RIGHTS` with
the first byte of the frame that names them in `keys`, in the same order.
"""

import json
import os
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

MAX_FRAME = 64 << 20
"""Bytes of JSON one frame may have, inclusive."""
MAX_DESCRIPTORS = 200
"""Descriptors one frame may carry, inclusive. The kernel's own limit is 253."""

Message = dict[str, Any]


class WireProblem(TypedDict):
    """One thing that is wrong: `where` is `file:line:column: path`, an address, or a part's name."""

    where: str
    message: str


class ProtocolError(Exception):
    """The other process is gone, silent, or does not speak this protocol."""


class Refused(Exception):
    """The other process understood the request and did not do it.

    Attributes:
        problems: Why, at least one.
        reply: The whole reply.
    """

    def __init__(self, problems: list[WireProblem], reply: Message | None = None) -> None:
        self.problems = problems
        self.reply = reply or {}
        super().__init__("; ".join(f"{problem['where']}: {problem['message']}" for problem in problems))


def encode(message: Message, texts: Mapping[str, str] | None = None) -> bytes:
    """Returns the frame of `message`.

    Args:
        texts: More fields, whose values are JSON already; `message` must not be empty.

    Raises:
        ProtocolError: It is longer than `MAX_FRAME`.
    """
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    more = "".join(f",{json.dumps(key)}:{value}" for key, value in (texts or {}).items())
    body = f"{text[:-1]}{more}}}".encode()
    if len(body) > MAX_FRAME:
        raise ProtocolError(f"a message of {len(body)} bytes is over the limit of {MAX_FRAME}")
    return len(body).to_bytes(4, "big") + body


def check(reply: Message) -> Message:
    """Returns `reply` if it says ok.

    Raises:
        Refused: It says why not.
    """
    if reply.get("ok") is True:
        return reply
    problems = reply.get("problems") or [{"where": "reply", "message": "refused without a reason"}]
    raise Refused(problems, reply)


class Decoder:
    """Cuts received bytes into messages and keeps received descriptors in order.

    Whoever handles a message takes as many descriptors as it names: the kernel tells with which
    bytes a descriptor came only roughly, the order is exact.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._descriptors: deque[int] = deque()

    def feed(self, data: bytes, descriptors: Iterable[int] = ()) -> list[Message]:
        """Adds what one `recvmsg` returned; returns the messages that are complete now.

        Raises:
            ProtocolError: A frame is too long or not a JSON object. The connection is of no more use.
        """
        self._descriptors.extend(descriptors)
        self._buffer += data
        messages = []
        while len(self._buffer) >= 4:
            length = int.from_bytes(self._buffer[:4], "big")
            if length > MAX_FRAME:
                raise ProtocolError(f"a frame of {length} bytes is over the limit of {MAX_FRAME}")
            if len(self._buffer) < 4 + length:
                break
            body = bytes(self._buffer[4 : 4 + length])
            del self._buffer[: 4 + length]
            messages.append(_decode(body))
        return messages

    def take(self, count: int) -> list[int]:
        """Takes the next `count` descriptors, which the caller now owns.

        Raises:
            ProtocolError: Fewer have come.
        """
        if count > len(self._descriptors):
            raise ProtocolError(f"a message names {count} descriptors, {len(self._descriptors)} came")
        return [self._descriptors.popleft() for _ in range(count)]

    def close(self) -> None:
        """Closes the descriptors that nobody took."""
        while self._descriptors:
            os.close(self._descriptors.popleft())


def _decode(body: bytes) -> Message:
    try:
        message = json.loads(body)
    except ValueError as error:
        raise ProtocolError("a frame that is not JSON") from error
    if not isinstance(message, dict):
        raise ProtocolError("a frame that is not a JSON object")
    return message
