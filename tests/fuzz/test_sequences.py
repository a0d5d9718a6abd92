# SPDX-License-Identifier: Apache-2.0
"""Random exchanges on shared connections: every client gets the answer to its own request, in order.

The endpoint misbehaves in each way that leaves bytes behind on a connection which is then used again.
TIDEGATE_SEQUENCES asks for another number than 1,000 connections, TIDEGATE_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tidegate.testing import Message, Wire, endpoint, gateway

COUNT = int(os.environ.get("TIDEGATE_SEQUENCES", "1000"))
SEED = int(os.environ.get("TIDEGATE_SEED") or random.SystemRandom().getrandbits(32))
_POISON = b"HTTP/1.1 200 OK\r\nX-Id: poison\r\nContent-Length: 6\r\n\r\npoison"
_SMUGGLED = b"GET /smuggled/plain HTTP/1.1\r\nHost: a.test\r\n\r\n"
_CONFIGURATION = """
gateway: { threads: 2 }
listeners: { web: { port: 0 } }
backends: { origin: { endpoints: [{ address: "ADDRESS" }], passive_health: { enabled: false } } }
routes:
  - { path: /, to: origin }
  - { path: /own, to: { respond: { status: 200, body: own } } }
"""


def _plain(name: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nX-Id: %b\r\nContent-Length: %d\r\n\r\n%b" % (name, len(name), name)


def _chunked(name: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nX-Id: %b\r\nTransfer-Encoding: chunked\r\n\r\n" % name
    return head + b"%x;x\r\n%b\r\n0\r\nX-Sum: 1\r\n\r\n" % (len(name), name)


BEHAVIOURS: dict[str, Callable[[bytes], bytes]] = {
    "plain": _plain,
    "chunked": _chunked,
    "extra": lambda name: _plain(name) + _POISON,
    "extra-chunked": lambda name: _chunked(name) + _POISON,
    "garbage": lambda name: _plain(name) + b"\x00\xff garbage",
    "hints": lambda name: b"HTTP/1.1 103 Early Hints\r\nX-Id: poison\r\n\r\n" + _plain(name),
    "late-hints": lambda name: _plain(name) + b"HTTP/1.1 100 Continue\r\n\r\n",
    "empty": lambda name: b"HTTP/1.1 204 No Content\r\nX-Id: %b\r\n\r\n" % name,
    "not-empty": lambda name: b"HTTP/1.1 204 No Content\r\nX-Id: %b\r\n\r\n" % name + _POISON,
    "unchanged": lambda name: b"HTTP/1.1 304 Not Modified\r\nX-Id: %b\r\n\r\npoison" % name,
    "closing": lambda name: _plain(name).replace(b"\r\n", b"\r\nConnection: close\r\n", 1),
    "headless": lambda name: b"HTTP/1.1 200 OK\r\nX-Id: %b\r\nContent-Length: %d\r\n\r\n" % (name, len(name)),
}


def answer(message: Message) -> bytes:
    """Answers `/ID/BEHAVIOUR` with its id; HEAD gets a body where that is how to misbehave."""
    _, name, behaviour = message.target.split("/")
    if message.method == "HEAD" and behaviour in ("plain", "chunked", "hints", "closing"):
        behaviour = "headless"
    return BEHAVIOURS[behaviour](name.encode())


def request(name: str, draw: random.Random) -> tuple[bytes, str]:
    """One request in a random form, and its method."""
    method = draw.choice(["GET", "GET", "POST", "HEAD", "PUT", "DELETE"])
    behaviour = draw.choice([one for one in BEHAVIOURS if one != "headless"])
    target = f"/{name}/{behaviour}" if draw.random() < 0.9 else f"/own/{name}"
    head = f"{method} {target} HTTP/1.1\r\nHost: a.test\r\n".encode()
    body = draw.choice([b"", b"x", _SMUGGLED, _SMUGGLED * 20])
    framing = draw.choice(["none", "length", "chunked"])
    if framing == "length":
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body, method
    if framing == "chunked":
        chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n", method
    return head + b"\r\n", method


def connection(port: int, number: int) -> list[str]:
    """Plays one client connection of several bursts; returns what was wrong."""
    draw, problems, sent = random.Random(SEED * 1_000_003 + number), list[str](), 0
    with Wire(("127.0.0.1", port)) as wire:
        for _ in range(draw.randint(1, 5)):
            burst = [(f"{number}-{sent + turn}", draw) for turn in range(draw.randint(1, 4))]
            made = [request(name, draw) for name, draw in burst]
            wire.send(b"".join(data for data, _ in made), *(method for _, method in made))
            whole = wire.wait_final(sent + len(made))
            answers = wire.final_responses[sent:]
            for (name, _), (data, _), got in zip(burst, made, answers, strict=False):
                problems += check(name, data, got)
            sent += len(made)
            if not whole:
                last = wire.final_responses[-1:]
                # Only a response that said so may be the last one.
                if not (last and last[0].lists("connection", "close")):
                    problems.append(f"{len(answers)} of {len(made)} answered, {wire.closed}: {made} {last}")
                break
        if wire.malformed is not None or wire.reader.rest:
            problems.append(f"left over: {wire.malformed} {wire.reader.rest!r}")
    return problems


def check(name: str, data: bytes, got: Message) -> list[str]:
    """Compares an answer with the request it must belong to."""
    own = data.split(b" ")[1].startswith(b"/own/")
    if got.status == 502:
        # The endpoint closed the connection as this request was sent; an unsafe one is not sent again.
        return [] if re.match(rb"POST|PUT|DELETE", data) else [f"{name}: 502 for {data[:80]!r}"]
    if own:
        return [] if got.body in (b"own", b"") and got.get("x-id") is None else [f"{name}: {got.raw!r}"]
    right = got.get("x-id") == name and got.body in (name.encode(), b"")
    return [] if right else [f"{name}: another's answer {got.raw[:200]!r} to {data[:80]!r}"]


def test_every_answer_belongs_to_its_request():
    with endpoint(respond=answer) as upstream:
        with gateway(_CONFIGURATION.replace("ADDRESS", upstream.address)) as running:
            with ThreadPoolExecutor(8) as pool:
                found = list(pool.map(lambda number: connection(running.port, number), range(COUNT)))
            assert running.status()["panics"] == 0
        smuggled = [message for message in upstream.messages if "smuggled" in message.target]
        malformed = [one.malformed for one in upstream.connections if one.malformed]
    problems = [problem for several in found for problem in several]
    counts = f"{len(upstream.messages)} requests on {len(upstream.connections)} upstream connections"
    print(f"\nseed {SEED}: {COUNT} connections, {counts}")
    assert not problems, f"seed {SEED}: {len(problems)}:\n" + "\n".join(problems[:20])
    assert not smuggled and not malformed, f"seed {SEED}: {smuggled[:3]} {malformed[:3]}"
