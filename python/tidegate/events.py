# SPDX-License-Identifier: Apache-2.0
"""What the supervisor and control say: one line per event on standard error.

For people on a terminal, JSON otherwise. This is not the access log, which the node writes.
"""

import json
import os
import sys
from datetime import UTC, datetime
from typing import Literal

Form = Literal["auto", "human", "json"]
FORMS: tuple[Form, ...] = ("auto", "human", "json")

_COLOURS = {"warning": "33", "error": "31"}


def resolve(form: Form) -> Literal["human", "json"]:
    """What `auto` means here: `human` when standard error is a terminal."""
    if form != "auto":
        return form
    try:
        return "human" if os.isatty(2) else "json"
    except OSError:
        return "json"


class Events:
    """Writes the events of one process.

    A line is `TIME LEVEL PROCESS: MESSAGE key=value ...`, or an object with `time` (RFC 3339, UTC),
    `level` (`info`, `warning`, `error`), `process`, `message` and the event's own keys. A line is one
    write, so lines of several processes do not mix.
    """

    def __init__(self, process: str, form: Form = "auto", descriptor: int = 2) -> None:
        self._process = process
        self._form = resolve(form)
        self._descriptor = descriptor
        self._colour = self._form == "human" and not os.environ.get("NO_COLOR") and _is_terminal(descriptor)

    @property
    def form(self) -> Literal["human", "json"]:
        """How lines are written."""
        return self._form

    def info(self, message: str, **details: object) -> None:
        """Something ordinary happened."""
        self._write("info", message, details)

    def warning(self, message: str, **details: object) -> None:
        """Something is not as it should be; the gateway goes on by itself."""
        self._write("warning", message, details)

    def error(self, message: str, **details: object) -> None:
        """Somebody has to do something; the message says what."""
        self._write("error", message, details)

    def _write(self, level: str, message: str, details: dict[str, object]) -> None:
        now = datetime.now(UTC)
        kept = {key: value for key, value in details.items() if value is not None}
        if self._form == "json":
            entry = {"time": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"), "level": level}
            line = json.dumps(
                entry | {"process": self._process, "message": message} | kept, ensure_ascii=False, default=str
            )
        else:
            line = self._human(now, level, message, kept)
        try:
            os.write(self._descriptor, line.encode(errors="backslashreplace") + b"\n")
        except OSError:
            # Nobody listens any more, or the disk is full: serving goes on.
            return

    def _human(self, now: datetime, level: str, message: str, details: dict[str, object]) -> str:
        tail = "".join(f" {key}={_plain(value)}" for key, value in details.items())
        shown = "" if level == "info" else f"{level}: "
        if shown and self._colour:
            shown = f"\x1b[{_COLOURS[level]}m{level}:\x1b[0m "
        clean = message.replace("\r", " ").replace("\n", " ")
        return f"{now.astimezone():%H:%M:%S} {self._process}: {shown}{clean}{tail}"


def _plain(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if not text or set(text) & set(' "\n\r\t') else text


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def fail(message: str) -> None:
    """Prints `error: MESSAGE` for whoever typed the command."""
    print(f"error: {message}", file=sys.stderr)
