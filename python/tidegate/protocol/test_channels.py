# SPDX-License-Identifier: Apache-2.0
import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tidegate.protocol import Channel, Message, ProtocolError, Refused, connect, listen
from tidegate.protocol.async_channel import AsyncChannel, serve
from tidegate.protocol.sockets import is_answered


@contextlib.contextmanager
def answering(answer: Callable[[Channel, Message], None]) -> Iterator[Channel]:
    """A channel whose other end is answered by a thread until it is closed."""
    ours, theirs = socket.socketpair()

    def work() -> None:
        with Channel(theirs) as channel, contextlib.suppress(ProtocolError):
            while True:
                answer(channel, channel.receive(10))

    thread = threading.Thread(target=work)
    thread.start()
    with Channel(ours) as channel:
        yield channel
    thread.join(10)


def test_a_call_returns_the_reply_with_its_number() -> None:
    def answer(channel: Channel, message: Message) -> None:
        channel.send({"id": 999, "ok": True})
        channel.send({"id": message["id"], "ok": True, "got": message["text"]})

    with answering(answer) as channel:
        assert channel.call("echo", text="ä" * 100_000)["got"] == "ä" * 100_000


def test_descriptors_go_both_ways_and_stay_what_they_were() -> None:
    def answer(channel: Channel, message: Message) -> None:
        taken = channel.take(len(message["keys"]))
        channel.send({"id": message["id"], "ok": True, "keys": message["keys"]}, taken)
        for descriptor in taken:
            os.close(descriptor)

    files = [os.memfd_create(f"{number}") for number in range(200)]
    try:
        for number, file in enumerate(files):
            os.write(file, f"{number}".encode())
        with answering(answer) as channel:
            reply = channel.call("sockets.put", descriptors=files, keys=[f"{each}" for each in range(200)])
            back = channel.take(200)
        for key, descriptor in zip(reply["keys"], back, strict=True):
            assert os.pread(descriptor, 10, 0) == key.encode()
            assert not os.get_inheritable(descriptor)
            os.close(descriptor)
    finally:
        for file in files:
            os.close(file)


def test_more_descriptors_than_a_frame_may_carry_are_refused() -> None:
    with answering(lambda channel, message: None) as channel, pytest.raises(ProtocolError, match="201"):
        channel.send({}, [0] * 201)


def test_a_refusal_is_raised() -> None:
    def answer(channel: Channel, message: Message) -> None:
        channel.send({"id": message["id"], "ok": False, "problems": [{"where": "x", "message": "no"}]})

    with answering(answer) as channel, pytest.raises(Refused, match="x: no"):
        channel.call("try")


def test_silence_ends_a_call_at_its_deadline() -> None:
    with answering(lambda channel, message: None) as channel, pytest.raises(ProtocolError, match="no answer"):
        channel.call("hello", timeout=0.05)


def test_a_peer_that_is_gone_ends_a_call() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    with Channel(ours) as channel, pytest.raises(ProtocolError):
        channel.call("hello")


def test_the_kernel_says_who_answers() -> None:
    with answering(lambda channel, message: channel.send({"id": message["id"], "ok": True})) as channel:
        channel.identify()
        channel.call("hello")
        assert channel.sender == (os.getpid(), os.getuid(), os.getgid())


def test_a_socket_may_have_a_path_of_any_length(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100) / ("y" * 100)
    folder.mkdir(parents=True)
    with listen(folder / "node.sock", 0o600) as listener:
        with connect(folder / "node.sock", 5) as client:
            server, _ = listener.accept()
            client.sendall(b"!")
            assert server.recv(1) == b"!"
            server.close()
        assert (folder / "node.sock").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in folder.iterdir()] == ["node.sock"]


def test_a_socket_that_nobody_answers_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    listen(path, 0o600).close()
    assert not is_answered(path)
    with listen(path, 0o600):
        assert is_answered(path)


def test_a_socket_that_somebody_answers_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listen(path, 0o600), pytest.raises(OSError, match="in use"):
        listen(path, 0o600)


def test_a_socket_of_a_process_about_to_end_is_replaced_if_told(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listen(path, 0o600) as old, listen(path, 0o600, replace=True) as new:
        with connect(path, 5) as client:
            new.accept()[0].close()
            assert client.recv(1) == b""
        old.settimeout(0)
        with pytest.raises(BlockingIOError):
            old.accept()


def test_a_file_that_is_no_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        listen(path, 0o600)
    assert path.read_text() == "mine"


def both_ends(handler: Any, talk: Callable[[AsyncChannel], Any]) -> Any:
    async def run() -> Any:
        ours, theirs = socket.socketpair()
        server = await AsyncChannel.open(theirs, handler)
        channel = await AsyncChannel.open(ours)
        try:
            return await talk(channel)
        finally:
            await channel.close()
            await server.close()

    return asyncio.run(run())


def test_async_answers_may_come_in_any_order() -> None:
    first_may_end = asyncio.Event()

    async def handler(message: Message) -> Message:
        if message["type"] == "first":
            await first_may_end.wait()
        else:
            first_may_end.set()
        return {"was": message["type"]}

    async def talk(channel: AsyncChannel) -> list[Message]:
        return list(await asyncio.gather(channel.call("first"), channel.call("second")))

    assert [reply["was"] for reply in both_ends(handler, talk)] == ["first", "second"]


def test_async_calls_raise_refusals_and_deadlines() -> None:
    async def handler(message: Message) -> Message:
        if message["type"] == "hang":
            await asyncio.Event().wait()
        raise Refused([{"where": "here", "message": "no"}], {"snapshot": 3})

    async def talk(channel: AsyncChannel) -> None:
        with pytest.raises(Refused, match="here: no") as caught:
            await channel.call("try")
        assert caught.value.reply["snapshot"] == 3
        with pytest.raises(ProtocolError, match="no answer to hang"):
            await channel.call("hang", timeout=0.05)

    both_ends(handler, talk)


def test_a_handler_that_fails_still_answers() -> None:
    async def handler(message: Message) -> Message:
        raise ProtocolError("the supervisor is gone")

    async def talk(channel: AsyncChannel) -> None:
        with pytest.raises(Refused, match="status: ProtocolError: the supervisor is gone"):
            await channel.call("status")

    both_ends(handler, talk)


def test_async_calls_fail_when_the_peer_goes() -> None:
    async def run() -> None:
        ours, theirs = socket.socketpair()
        channel = await AsyncChannel.open(ours)
        call = asyncio.create_task(channel.call("hello"))
        await asyncio.to_thread(theirs.recv, 1 << 16)
        theirs.close()
        with pytest.raises(ProtocolError, match="closed"):
            await call
        await channel.closed()
        with pytest.raises(ProtocolError, match="gone"):
            await channel.call("hello")
        await channel.close()

    asyncio.run(run())


def test_a_served_socket_answers_everybody(tmp_path: Path) -> None:
    async def handler(message: Message) -> Message:
        return {"pong": message["n"]}

    async def run() -> None:
        server = await serve(listen(tmp_path / "s", 0o600), handler)

        def ask(number: int) -> int:
            with Channel.to(tmp_path / "s") as channel:
                return int(channel.call("ping", n=number)["pong"])

        assert await asyncio.gather(*(asyncio.to_thread(ask, number) for number in range(5))) == [
            0,
            1,
            2,
            3,
            4,
        ]
        server.close()

    asyncio.run(run())
