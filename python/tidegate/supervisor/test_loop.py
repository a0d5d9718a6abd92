# SPDX-License-Identifier: Apache-2.0
import functools
import os
import signal
import socket
from collections.abc import Iterator

import pytest

from tidegate.protocol import Channel, Message
from tidegate.supervisor.loop import Loop
from tidegate.supervisor.peer import Peer


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    made.after(10, lambda: pytest.fail("the loop ran for 10 s"))
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGUSR1)}
    yield made
    made.close()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_timers_fire_in_order_and_not_when_cancelled(loop: Loop) -> None:
    fired: list[str] = []
    loop.after(0.02, lambda: fired.append("second"))
    loop.after(0.01, lambda: fired.append("first"))
    loop.after(0.015, lambda: fired.append("never")).cancel()
    loop.after(0.03, loop.stop)
    loop.run()
    assert fired == ["first", "second"]


def test_a_watch_that_ended_in_the_same_round_is_not_called(loop: Loop) -> None:
    pipes = [os.pipe(), os.pipe()]
    called: list[int] = []

    def ready(which: int, _events: int) -> None:
        called.append(which)
        for read, _ in pipes:
            loop.unwatch(read)
        loop.stop()

    for number, (read, write) in enumerate(pipes):
        os.write(write, b"!")
        loop.watch(read, functools.partial(ready, number))
    loop.run()
    assert len(called) == 1
    for pair in pipes:
        for descriptor in pair:
            os.close(descriptor)


def test_signals_are_handled_in_the_loop(loop: Loop) -> None:
    got: list[int] = []

    def handle(number: int) -> None:
        got.append(number)
        if len(got) == 2:
            loop.stop()

    loop.handle_signals([signal.SIGHUP, signal.SIGUSR1], handle)
    loop.after(0, lambda: signal.raise_signal(signal.SIGHUP))
    loop.after(0, lambda: signal.raise_signal(signal.SIGUSR1))
    loop.run()
    assert sorted(got) == sorted([signal.SIGHUP, signal.SIGUSR1])


def test_a_call_is_answered_and_descriptors_arrive(loop: Loop) -> None:
    ours, theirs = socket.socketpair()
    peer, other = Peer(loop, ours), Channel(theirs)
    read, write = os.pipe()
    replies: list[Message | None] = []

    def served(_events: int) -> None:
        message = other.receive(5)
        for descriptor in other.take(len(message.get("keys", []))):
            os.write(descriptor, message["keys"][0].encode())
            os.close(descriptor)
        other.send({"id": message["id"], "ok": True})

    def answered(reply: Message | None) -> None:
        replies.append(reply)
        if len(replies) == 2:
            loop.stop()

    loop.watch(theirs.fileno(), served)
    peer.call("hello", answered)
    # Sent after the first was answered: the node tells by arrival which frame has the descriptors.
    peer.call("sockets.put", answered, keys=["k"], descriptors=[write])
    loop.run()
    assert [reply is not None and reply["ok"] for reply in replies] == [True, True]
    assert os.read(read, 10) == b"k"
    for descriptor in (read, write):
        os.close(descriptor)
    peer.close()
    other.close()


def test_calls_to_a_peer_that_goes_are_answered_with_none(loop: Loop) -> None:
    ours, theirs = socket.socketpair()
    reasons: list[str] = []
    peer = Peer(loop, ours, on_close=reasons.append)
    replies: list[Message | None] = []

    def answered(reply: Message | None) -> None:
        replies.append(reply)
        if len(replies) == 3:
            loop.stop()

    for kind in ("one", "two"):
        peer.call(kind, answered)
    theirs.recv(1 << 16)
    theirs.close()
    loop.after(0.05, lambda: peer.call("three", answered))
    loop.run()
    assert replies == [None] * 3
    assert len(reasons) == 1 and not peer.is_open


def test_a_silent_peer_is_given_up_at_the_deadline(loop: Loop) -> None:
    ours, theirs = socket.socketpair()
    reasons: list[str] = []
    peer = Peer(loop, ours, on_close=reasons.append)
    peer.call("hello", lambda _reply: loop.stop(), timeout=0.02)
    loop.run()
    assert reasons == ["it did not answer"]
    theirs.close()


def test_requests_of_the_peer_are_handed_on(loop: Loop) -> None:
    ours, theirs = socket.socketpair()
    got: list[Message] = []

    def asked(message: Message) -> None:
        got.append(message)
        peer.send({"id": message["id"], "ok": True, "large": "x" * 1_000_000})
        loop.stop()

    peer = Peer(loop, ours, on_request=asked)
    with Channel(theirs) as other:
        other.send({"id": 5, "type": "sockets.ensure"})
        loop.run()
        assert got == [{"id": 5, "type": "sockets.ensure"}]
    peer.close()
