# SPDX-License-Identifier: Apache-2.0
"""What the processes of an instance say: one line per event on standard error.

For people on a terminal, JSON otherwise. This is not the access log, which the node writes. The engine
makes its lines in the same form, in `crates/telemetry/src/event.rs`.
"""

import json
import os
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

Form = Literal["auto", "human", "json"]
FORMS: tuple[Form, ...] = ("auto", "human", "json")

_COLOURS = {"warning": "33", "error": "31"}
_LINE_ENDS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}
"""What some readers take for the end of a line and JSON does not escape."""
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


def resolve(form: Form) -> Literal["human", "json"]:
    """What `auto` means here: `human` when standard error is a terminal."""
    if form != "auto":
        return form
    try:
        return "human" if os.isatty(2) else "json"
    except OSError:
        return "json"


def asked() -> Form:
    """The form that the instance was started with, in a process of it."""
    form = os.environ.get("TIDEGATE_LOG_FORMAT")
    return next((known for known in FORMS if known == form), "auto")


class Events:
    """Writes the events of one process.

    A line is `TIME PROCESS: LEVEL: MESSAGE key=value ...`, or an object with `time` (RFC 3339, UTC),
    `level` (`info`, `warning`, `error`), `process`, `message` and the event's own keys. A line is one
    write, so lines of several processes do not mix. For people a value of several lines, as a traceback is,
    follows indented, so that no text passes as another line.
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

    @property
    def offset_s(self) -> int | None:
        """How far local time is east of UTC, in seconds, where lines are for people; none for JSON."""
        offset = datetime.now().astimezone().utcoffset()
        return None if self._form == "json" else round(offset.total_seconds()) if offset else 0

    def info(self, message: str, **details: object) -> None:
        """Something ordinary happened."""
        self.write("info", message, details)

    def warning(self, message: str, **details: object) -> None:
        """Something is not as it should be; the gateway goes on by itself."""
        self.write("warning", message, details)

    def error(self, message: str, **details: object) -> None:
        """Somebody has to do something; the message says what."""
        self.write("error", message, details)

    def write(self, level: str, message: str, details: Mapping[str, object]) -> None:
        """One event; it is lost when nobody reads or the disk is full: serving goes on."""
        now = datetime.now(UTC)
        kept = {key: value for key, value in details.items() if value is not None}
        if self._form == "json":
            entry = {"time": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"), "level": level}
            line = json.dumps(
                entry | {"process": self._process, "message": message} | kept, ensure_ascii=False, default=str
            ).translate(_LINE_ENDS)
        else:
            line = self._human(now, level, message, kept)
        try:
            rest = line.encode(errors="backslashreplace") + b"\n"
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            return

    def _human(self, now: datetime, level: str, message: str, details: dict[str, object]) -> str:
        long = [str(value) for value in details.values() if "\n" in str(value)]
        tail = "".join(f" {key}={_plain(value)}" for key, value in details.items() if str(value) not in long)
        tail += "".join(f"\n    {_CONTROL.sub('?', line)}" for text in long for line in text.splitlines())
        shown = "" if level == "info" else f"{level}: "
        if shown and self._colour:
            shown = f"\x1b[{_COLOURS[level]}m{level}:\x1b[0m "
        clean = _CONTROL.sub("?", message.replace("\r", " ").replace("\n", " "))
        return f"{now.astimezone():%H:%M:%S} {self._process}: {shown}{clean}{tail}"


def _plain(value: object) -> str:
    text = str(value)
    quoted = json.dumps(text, ensure_ascii=False) if not text or set(text) & set(' "\r\t') else text
    return _CONTROL.sub("?", quoted)


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def fail(message: str) -> None:
    """Prints `error: MESSAGE` for whoever typed the command."""
    print(f"error: {message}", file=sys.stderr)
