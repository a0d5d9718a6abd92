# SPDX-License-Identifier: Apache-2.0
"""A worker process for tests, and a node that talks to it: the protocol written a second time, by hand.

The worker is the real one, started as the supervisor starts it.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import tidegate

ENTRY = str(Path(tidegate.__file__).parent / "_worker.py")
REQUEST, BODY, CANCEL, RESPONSE, CREDIT = 1, 2, 3, 4, 5
KINDS = {
    0x41: "ready", 0x42: "continue", 0x43: "respond", 0x44: "changes", 0x45: "body", 0x46: "credit",
    0x47: "body_wanted", 0x48: "error", 0x49: "closing", 0x4A: "fatal",
}  # fmt: skip
REASONS = {1: "exception", 2: "bad_answer", 3: "cancelled", 4: "memory", 5: "body_size"}
NONE, INLINE, STREAM, ON_DEMAND, WITHHELD = range(5)
Fields = list[tuple[str, str]]


@dataclass
class Message:
    """One frame of a worker."""

    kind: str
    exchange: int
    status: int = 0
    fields: Fields = field(default_factory=list)
    changes: list[tuple[Any, ...]] = field(default_factory=list)
    body: bytes = b""
    flag: bool = False
    """`wants_response` of continue, `body_follows` of respond, `is_last` of body."""
    number: int = 0
    reason: str = ""
    begun: list[int] = field(default_factory=list)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def unpack(self, form: str) -> int:
        (value,) = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(form)
        return int(value)

    def take(self) -> bytes:
        length = self.unpack("I")
        self.at += length
        return self.data[self.at - length : self.at]

    def text(self) -> str:
        return self.take().decode("latin-1")

    def fields(self) -> Fields:
        return [(self.text(), self.text()) for _ in range(self.unpack("H"))]

    def changes(self) -> list[tuple[Any, ...]]:
        changes: list[tuple[Any, ...]] = []
        for _ in range(self.unpack("H")):
            match self.unpack("B"):
                case 1:
                    changes.append(("set", self.text(), self.text()))
                case 2:
                    changes.append(("append", self.text(), self.text()))
                case 3:
                    changes.append(("remove", self.text()))
                case 4:
                    changes.append(("path", self.text()))
                case 5:
                    changes.append(("status", self.unpack("H")))
        return changes

    def rest(self) -> bytes:
        return self.data[self.at :]


def decode(kind: int, exchange: int, payload: bytes) -> Message:
    """Reads one frame."""
    reader = _Reader(payload)
    message = Message(KINDS[kind], exchange)
    match message.kind:
        case "ready":
            assert reader.unpack("H") == 2
            message.number = reader.unpack("I")
        case "continue":
            message.flag = bool(reader.unpack("B"))
            message.changes = reader.changes()
        case "respond":
            message.flag = bool(reader.unpack("B"))
            message.status = reader.unpack("H")
            message.fields = reader.fields()
            message.body = reader.rest()
        case "changes":
            message.changes = reader.changes()
        case "body":
            message.flag = bool(reader.unpack("B"))
            message.body = reader.rest()
        case "credit":
            message.number = reader.unpack("I")
        case "error":
            message.reason = REASONS[reader.unpack("B")]
        case "fatal":
            message.begun = [number for (number,) in struct.iter_unpack(">I", payload)]
    return message


def _text(value: str | bytes) -> bytes:
    data = value.encode("latin-1") if isinstance(value, str) else value
    return struct.pack(">I", len(data)) + data


def _pairs(pairs: Sequence[tuple[str, str]]) -> bytes:
    return struct.pack(">H", len(pairs)) + b"".join(_text(name) + _text(value) for name, value in pairs)


def frame(kind: int, exchange: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return struct.pack(">IBI", 5 + len(payload), kind, exchange) + payload


class Node:
    """One connection to a worker."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(path)
        self._last = 0
        self._data = b""
        self.ready = self.next()
        assert self.ready.kind == "ready"

    def head(
        self,
        method: str = "GET",
        path: str = "/",
        query: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
        *,
        body: bytes | int = NONE,
        deadline_ms: int = 10_000,
        function: str = "f",
        parameters: Sequence[tuple[str, str]] = (),
        http_1_0: bool = False,
    ) -> tuple[int, bytes]:
        """A request's number and frame."""
        self._last += 1
        kind, inline = (INLINE, body) if isinstance(body, bytes) else (body, b"")
        flags = int(http_1_0) | (2 if query is not None else 0)
        payload = struct.pack(">BBI", flags, kind, deadline_ms)
        for text in (method, "http", "shop.example:8080", path, query or "", "192.0.2.7", "shop"):
            payload += _text(text)
        payload += (
            _text(f"req-{self._last}")
            + _text(function)
            + _text("")
            + _pairs(parameters)
            + _pairs(headers)
            + inline
        )
        return self._last, frame(REQUEST, self._last, payload)

    def begin(self, *arguments: Any, **options: Any) -> int:
        """Sends a request; returns its number."""
        number, data = self.head(*arguments, **options)
        self.socket.sendall(data)
        return number

    def ask(self, *arguments: Any, **options: Any) -> Message:
        """Sends a request and returns the first message for it."""
        number = self.begin(*arguments, **options)
        message = self.next()
        assert message.exchange == number, message
        return message

    def send(self, kind: int, exchange: int, payload: bytes = b"") -> None:
        """Sends any other frame."""
        self.socket.sendall(frame(kind, exchange, payload))

    def body(self, exchange: int, data: bytes, *, is_last: bool) -> None:
        """Sends a piece of a request's body."""
        self.send(BODY, exchange, bytes([is_last]) + data)

    def credit(self, exchange: int, count: int) -> None:
        """Lets the worker send more of a body."""
        self.send(CREDIT, exchange, struct.pack(">I", count))

    def respond(self, exchange: int, status: int, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Shows a response to a policy."""
        self.send(RESPONSE, exchange, struct.pack(">H", status) + _pairs(headers))

    def next(self) -> Message:
        """The next message.

        Raises:
            EOFError: The worker closed the connection.
        """
        while True:
            if len(self._data) >= 4:
                (length,) = struct.unpack_from(">I", self._data)
                if len(self._data) >= 4 + length:
                    kind, exchange = struct.unpack_from(">BI", self._data, 4)
                    payload = self._data[9 : 4 + length]
                    self._data = self._data[4 + length :]
                    return decode(kind, exchange, payload)
            self._data += self._receive()

    def _receive(self) -> bytes:
        try:
            data = self.socket.recv(1 << 20)
        except ConnectionResetError:
            data = b""
        if not data:
            raise EOFError
        return data

    def is_silent(self) -> bool:
        """Whether nothing waits to be read; only after something that made the worker's turn end."""
        return not self._data and not select.select([self.socket], [], [], 0)[0]

    def close(self) -> None:
        """Ends the connection."""
        self.socket.close()


class WorkerProcess:
    """One worker and its log."""

    def __init__(
        self, folder: Path, code: str, functions: list[dict[str, Any]], python: str, **settings: Any
    ) -> None:
        (folder / "shop_code.py").write_text(textwrap.dedent(code))
        # A short name: the folder may be longer than the address of a socket.
        self.path = os.path.relpath(folder / "w.sock")
        self.log_path = folder / "log"
        self.nodes: list[Node] = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(16)
        ready_read, ready_write = os.pipe()
        text = json.dumps({"functions": functions, "path": str(folder), "ready": 4, **settings})

        def hand_over() -> None:
            # Out of the way first: either may be 3 or 4 itself.
            listener = fcntl.fcntl(self.listener, fcntl.F_DUPFD, 100)
            ready = fcntl.fcntl(ready_write, fcntl.F_DUPFD, 100)
            os.dup2(listener, 3, inheritable=True)
            os.dup2(ready, 4, inheritable=True)

        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [python, "-P", ENTRY],
                env={**os.environ, "TIDEGATE_WORKER": text, "PYTHONPATH": ""},
                stdin=subprocess.DEVNULL,
                stderr=log,
                stdout=log,
                preexec_fn=hand_over,
                pass_fds=(3, 4),
            )
        os.close(ready_write)
        with open(ready_read) as reader:
            line = reader.readline()
        self.ready: dict[str, Any] = json.loads(line) if line else {"ready": False, "problem": None}

    def node(self) -> Node:
        """A new connection."""
        node = Node(self.path)
        self.nodes.append(node)
        return node

    def log(self) -> list[dict[str, Any]]:
        """Its lines so far."""
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(timeout=20)

    def terminate(self) -> None:
        """Asks it to drain."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Ends it."""
        for node in self.nodes:
            node.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.listener.close()


Start = Callable[..., WorkerProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a worker with one function `f` of the module `code`, or with several `functions`."""
    started: list[WorkerProcess] = []

    def start_worker(
        code: str,
        kind: str = "function",
        *,
        functions: list[dict[str, Any]] | None = None,
        python: str = sys.executable,
        is_ready: bool = True,
        worker: dict[str, Any] | None = None,
        **settings: Any,
    ) -> WorkerProcess:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        one = {"name": "f", "handler": "shop_code:f", "kind": kind, "concurrency": 8, **settings}
        process = WorkerProcess(folder, code, functions or [one], python, **(worker or {}))
        started.append(process)
        assert process.ready["ready"] is is_ready, process.log_path.read_text()
        return process

    yield start_worker
    for process in started:
        process.stop()


def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Waits for something that another process writes."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        select.select([], [], [], 0.01)
