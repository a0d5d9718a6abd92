# SPDX-License-Identifier: Apache-2.0
"""The asyncio end of a conversation: both sides may ask, answers may come in any order."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tidegate.protocol.frames import MAX_FRAME, Decoder, Message, ProtocolError, Refused, check, encode

_CHUNK = 1 << 18

Handler = Callable[[Message], Awaitable[Message]]
"""Answers a request; raises `Refused` to say no. The answer's `id` and `ok` are added."""


class AsyncChannel:
    """A connected Unix stream socket that carries frames, without descriptors."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler | None
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._handler = handler
        self._decoder = Decoder()
        self._calls: dict[int, asyncio.Future[Message]] = {}
        self._number = 0
        self._answers: set[asyncio.Task[None]] = set()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, connection: socket.socket, handler: Handler | None = None) -> "AsyncChannel":
        """Takes a connected socket.

        Args:
            connection: Closed with the channel.
            handler: Answers what the peer asks.
        """
        connection.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=connection)
        return cls(reader, writer, handler)

    async def call(
        self, kind: str, /, timeout: float = 30.0, texts: Mapping[str, str] | None = None, **fields: Any
    ) -> Message:
        """Sends a request and returns its reply; cancelling it leaves the peer to its work.

        Args:
            texts: More fields, whose values are JSON already.

        Raises:
            Refused: The peer answered with problems.
            ProtocolError: The peer is gone, or did not answer within `timeout` seconds.
        """
        if self._reading.done():
            raise ProtocolError("the other process is gone")
        self._number += 1
        number = self._number
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._calls[number] = future
        try:
            self._writer.write(encode({"id": number, "type": kind, **fields}, texts))
            async with asyncio.timeout(timeout):
                with contextlib.suppress(ConnectionError):
                    await self._writer.drain()
                return check(await future)
        except TimeoutError:
            raise ProtocolError(f"no answer to {kind} within {timeout:g} s") from None
        finally:
            self._calls.pop(number, None)

    async def tell(self, kind: str, /, **fields: Any) -> None:
        """Sends a message that asks for no answer; lost when the peer is gone."""
        with contextlib.suppress(ConnectionError):
            self._writer.write(encode({"type": kind, **fields}))
            await self._writer.drain()

    async def closed(self) -> None:
        """Waits until the peer has closed or broken the protocol."""
        await asyncio.wait({self._reading})

    @property
    def is_open(self) -> bool:
        """Whether the peer is there."""
        return not self._reading.done()

    async def close(self) -> None:
        """Closes the connection; calls under way fail."""
        self._reading.cancel()
        await asyncio.wait({self._reading})

    async def _read(self) -> None:
        reason = "the other process closed the connection"
        try:
            while data := await self._reader.read(_CHUNK):
                for message in self._decoder.feed(data):
                    self._dispatch(message)
        except (ProtocolError, ConnectionError) as error:
            reason = str(error)
        finally:
            self._writer.close()
            for future in self._calls.values():
                if not future.done():
                    future.set_exception(ProtocolError(reason))

    def _dispatch(self, message: Message) -> None:
        if "type" in message:
            task = asyncio.create_task(self._answer(message))
            # The loop holds tasks only weakly.
            self._answers.add(task)
            task.add_done_callback(self._answers.discard)
            return
        future = self._calls.get(message.get("id", 0))
        if future is not None and not future.done():
            future.set_result(message)

    async def _answer(self, message: Message) -> None:
        if self._handler is None:
            return
        try:
            reply = {"ok": True, **await self._handler(message)}
        except Refused as refusal:
            reply = {**refusal.reply, "ok": False, "problems": refusal.problems}
        except Exception as error:
            # Whoever asked is not left waiting; the handler's own code says more in the log.
            text = f"{type(error).__name__}: {error}"
            reply = {"ok": False, "problems": [{"where": message["type"], "message": text}]}
        if "id" in message and not self._writer.is_closing():
            with contextlib.suppress(ConnectionError):
                self._writer.write(encode({**reply, "id": message["id"]}))
                await self._writer.drain()


async def serve(listener: socket.socket, handler: Handler) -> asyncio.Server:
    """Answers everybody who connects to `listener`; the server owns it from now on."""
    listener.setblocking(False)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        channel = AsyncChannel(reader, writer, handler)
        await channel.closed()

    return await asyncio.start_unix_server(connected, sock=listener, limit=min(MAX_FRAME, _CHUNK))
