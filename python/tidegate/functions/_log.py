# SPDX-License-Identifier: Apache-2.0
"""Where `print`, `logging` and tracebacks of user code go: the log, in lines that name the request.

A line is one of `tidegate.events` with `function` and `request`, where they are known; `stream` for text that
was printed, `logger` for records, `traceback` for failures. No text can pass as another line.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
import traceback
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from tidegate.events import Events, asked

if TYPE_CHECKING:
    from tidegate._engine import Request

current: ContextVar[Request | None] = ContextVar("tidegate_request", default=None)
"""The request whose code runs in this context; tasks that the code starts inherit it."""

LIMIT = 16_384
"""Characters of one message or traceback; the rest is cut off."""


class Log:
    """Writes lines to a descriptor."""

    def __init__(self, descriptor: int, process: str = "worker") -> None:
        self.descriptor = descriptor
        self._events = Events(process, asked(), descriptor)

    @property
    def offset_s(self) -> int | None:
        """As the engine takes it, which writes when this can not."""
        return self._events.offset_s

    def write(self, level: str, message: str, request: Request | None = None, **details: object) -> None:
        """Writes a line; it is lost when nobody reads or the disk is full."""
        request = request or current.get()
        if request is not None:
            details = {"function": request.function, "request": request.id} | details
        self._events.write(level, _cut(message), details)

    def failure(self, message: str, error: BaseException, request: Request | None = None) -> None:
        """Writes a line with a traceback, without the frames of this package."""
        text = "".join(traceback.TracebackException.from_exception(_trim(error)).format())
        # The end says what happened.
        self.write("error", message, request, traceback=text[-LIMIT:])


def _cut(text: str) -> str:
    return text if len(text) <= LIMIT else text[:LIMIT] + " [cut off]"


def _trim(error: BaseException) -> BaseException:
    here = os.path.dirname(__file__)
    frames = error.__traceback__
    while frames is not None and os.path.dirname(frames.tb_frame.f_code.co_filename) == here:
        frames = frames.tb_next
    # An error of this package itself keeps its frames.
    return error.with_traceback(frames) if frames is not None else error


class Stream(io.TextIOBase):
    """Stands for `sys.stdout` or `sys.stderr`: each line of text becomes a line of the log."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, log: Log, name: str, level: str) -> None:
        self._log, self._name, self._level = log, name, level
        self._lock = threading.Lock()
        self._text = ""
        self._request: Request | None = None

    def writable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """The descriptor that the lines go to, for code that starts processes."""
        return self._log.descriptor

    def write(self, text: str, /) -> int:
        """Takes text; whole lines leave at once."""
        request = current.get()
        with self._lock:
            if self._request is not request:
                # Half a line of another request must not become the beginning of this one's.
                self._emit(self._text)
                self._text, self._request = "", request
            *lines, self._text = (self._text + text).split("\n")
            for line in lines:
                self._emit(line)
            if len(self._text) > LIMIT:
                self._emit(self._text)
                self._text = ""
        return len(text)

    def flush(self) -> None:
        """Does nothing: half a line waits for its other half."""

    def finish(self) -> None:
        """Lets half a line out."""
        with self._lock:
            self._emit(self._text)
            self._text = ""

    def _emit(self, line: str) -> None:
        if line.strip():
            self._log.write(self._level, line.rstrip("\r"), self._request, stream=self._name)


class Handler(logging.Handler):
    """Writes the records of `logging`."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record."""
        details: dict[str, Any] = {"logger": record.name}
        try:
            message = record.getMessage()
        except Exception:
            message, details["arguments"] = str(record.msg), repr(record.args)
        if record.exc_info and record.exc_info[1] is not None:
            text = "".join(traceback.format_exception(record.exc_info[1]))
            details["traceback"] = text[-LIMIT:]
        self._log.write(record.levelname.lower(), message, **details)


def install(process: str = "worker") -> Log:
    """Takes over standard output, standard error and the root logger.

    Descriptor 1 becomes a copy of descriptor 2, so what other programs print ends up there as well.

    Args:
        process: What the log calls this process.
    """
    log = Log(os.dup(2), process)
    os.dup2(2, 1)
    sys.stdout = Stream(log, "stdout", "info")
    sys.stderr = Stream(log, "stderr", "warning")
    root = logging.getLogger()
    root.addHandler(Handler(log))
    root.setLevel(logging.INFO)
    return log


def finish() -> None:
    """Lets out what was printed without a line end."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Stream):
            stream.finish()
