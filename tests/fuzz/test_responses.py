# SPDX-License-Identifier: Apache-2.0
"""Mutated responses of an origin server: the client gets one, whole and the same, or sees that it is not.

TIDEGATE_RESPONSES asks for another number than 3,000, TIDEGATE_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
from collections import Counter

from tests.fuzz.mutate import mutate
from tidegate.testing import FakeEndpoint, Malformed, Message, Reader, Script, Wire, endpoint, gateway

COUNT = int(os.environ.get("TIDEGATE_RESPONSES", "3000"))
SEED = int(os.environ.get("TIDEGATE_SEED") or random.SystemRandom().getrandbits(32))
_OK = b"HTTP/1.1 200 OK\r\n"
SOUND = [
    _OK + b"Content-Length: 5\r\n\r\nhello",
    _OK + b"Content-Type: text/plain\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nContent-Length: 0\r\n\r\n",
    _OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n",
    _OK + b"\r\nuntil the end",
    _OK + b"Connection: close\r\nContent-Length: 3\r\n\r\nabc",
    b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
    b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n',
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found",
    b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold",
    b"HTTP/1.0 302 Found\r\nLocation: /next\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + _OK + b"Content-Length: 2\r\n\r\nok",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 4\r\n\r\nbusy",
]
_CONFIGURATION = """
gateway: { threads: 1 }
listeners: { web: { port: 0 } }
backends:
  origin:
    endpoints: [{ address: "ADDRESS" }]
    passive_health: { enabled: false }
    timeouts: { stall: 1s, first_byte: 1s }
routes: [{ path: /, to: origin, retries: { attempts: 0 } }]
"""


def reading(data: bytes) -> tuple[str, Message | None]:
    """What the strict reader makes of a response that a close ends: `whole`, `cut` in its body, or `bad`."""
    reader = Reader("response")
    reader.expect("POST")
    try:
        reader.feed(data)
        reader.end()
    except Malformed:
        pass
    finals = [message for message in reader.messages if message.status >= 200]
    if finals:
        return "whole", finals[0]
    return ("cut", reader.head) if reader.head is not None and reader.head.status >= 200 else ("bad", None)


def complaint(data: bytes, wire: Wire) -> str | None:
    """What is wrong with what the client got; None when nothing is."""
    finals = wire.final_responses
    kind, meant = reading(data)
    if wire.malformed is not None and not wire.malformed.startswith("closed inside a message"):
        return f"malformed to the client: {wire.malformed}"
    if len(finals) > 1:
        return f"{len(finals)} responses"
    if not finals:
        return None if kind == "cut" else f"no response where the origin's is {kind}"
    got = finals[0]
    if got.status == 502 and meant is None:
        return None
    if kind != "whole" or meant is None:
        # A gateway may be stricter about a head, and answer by 502; it must never make a whole of a part.
        return None if got.status == 502 else f"looks whole with {got.status}, but the origin's is {kind}"
    if got.status == 502 != meant.status:
        return None if is_strict(meant) else "502 for a sound response"
    same = (got.status, got.body) == (meant.status, meant.body)
    return (
        None
        if same
        else f"{got.status} {got.body[:40]!r}, the origin's is {meant.status} {meant.body[:40]!r}"
    )


def is_strict(message: Message) -> bool:
    """Whether a whole response may still be refused: for framing fields where there is no content, say."""
    odd = {"transfer-encoding", "content-length", "upgrade"} & {
        n.lower().decode("latin-1") for n, _ in message.fields
    }
    return message.status in (204, 304) and bool(odd)


def test_mutated_responses_reach_the_client_whole_or_not_at_all():
    draw, outcomes, complaints = random.Random(SEED), Counter[object](), list[str]()
    with endpoint() as upstream, gateway(_CONFIGURATION.replace("ADDRESS", upstream.address)) as running:
        for _ in range(COUNT):
            data = mutate(draw.choice(SOUND), draw)
            wire = exchange(running.port, upstream, data)
            outcomes[wire.final_responses[0].status if wire.final_responses else "cut"] += 1
            problem = complaint(data, wire)
            if problem is not None:
                complaints.append(f"{data[:400]!r}\n    {problem}\n    got {bytes(wire.received)[:300]!r}")
        assert running.status()["panics"] == 0
    print(f"\nseed {SEED}: {COUNT} responses, {dict(outcomes.most_common(8))}")
    assert not complaints, f"seed {SEED}: {len(complaints)} of {COUNT}:\n" + "\n".join(complaints[:20])


def exchange(port: int, upstream: FakeEndpoint, data: bytes) -> Wire:
    """One request whose answer is `data` and a close."""
    upstream.begin(Script(raw=data))
    with Wire(("127.0.0.1", port)) as wire:
        wire.send(
            b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "POST"
        )
        assert wire.wait_closed(), f"seed {SEED}: the connection stayed open after {data!r}"
    # A connection that the gateway kept must be closed before the next request, or the two race.
    assert upstream.wait(lambda one: all(connection.closed for connection in one.connections))
    return wire
