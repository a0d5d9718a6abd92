# SPDX-License-Identifier: Apache-2.0
"""`tidegate top`: what an instance does, once a second, on a terminal, as JSON, into a file and out of it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from tidegate.cli.codes import NOT_RUNNING, USAGE, stop
from tidegate.cli.live import find
from tidegate.cli.output import print_json
from tidegate.cli.top_frame import SORTS, Frame, frame, lines
from tidegate.protocol import Channel, ProtocolError, Refused
from tidegate.runtime import Instance

INTERVAL = 1.0
"""Seconds between two frames."""
_PAGE_WIDTH = 120
"""Columns of a frame that does not go to a terminal."""


@dataclass(frozen=True)
class Options:
    """What was asked for."""

    once: bool = False
    as_json: bool = False
    record: Path | None = None
    replay: Path | None = None


def top(name: str | None, base: Path | None, options: Options) -> None:
    """Shows frames until `q`, Ctrl-C or the end of what is replayed."""
    if options.record is not None and options.replay is not None:
        stop("--record writes what runs and --replay shows what ran; use one of them", USAGE)
    frames = _replayed(options.replay) if options.replay is not None else _live(find(name, base))
    with _recording(options.record) as record:
        is_terminal = sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        if is_terminal and not options.once and not options.as_json:
            with contextlib.suppress(KeyboardInterrupt):
                _watch(frames, record, is_live=options.replay is None)
        elif options.record is not None and not options.once:
            with contextlib.suppress(KeyboardInterrupt):
                for shown in frames:
                    record(shown)
                    time.sleep(INTERVAL)
        else:
            _print(next(frames), record, as_json=options.as_json)


def _print(shown: Frame, record: _Record, *, as_json: bool) -> None:
    record(shown)
    if as_json:
        print_json(shown)
        return
    width = shutil.get_terminal_size((_PAGE_WIDTH, 0)).columns
    print("\n".join(lines(shown, width=width, height=None, sort=SORTS[0])))


def _live(instance: Instance) -> Iterator[Frame]:
    """A frame of what was since the last one. A node that is replaced is waited for."""
    before = _sample(instance)
    if before is None:
        stop(f"the node of {instance.name} does not answer; its supervisor's log says why", NOT_RUNNING)
    time.sleep(INTERVAL)
    while True:
        now = _sample(instance)
        if now is not None and now["time_us"] > before["time_us"]:
            yield frame(before, now)
            before = now
            continue
        if now is None and not instance.node_socket.exists():
            stop(f"{instance.name} has ended", NOT_RUNNING)
        time.sleep(INTERVAL / 10)


def _sample(instance: Instance) -> dict[str, Any] | None:
    try:
        with Channel.to(instance.node_socket) as channel:
            return channel.call("top", window_ms=int(INTERVAL * 1000))
    except PermissionError:
        stop(f"you may not speak to {instance.node_socket}; try as the user who started the gateway")
    except Refused as refusal:
        stop(f"the node does not know `top`: {refusal}; upgrade it with tidegate upgrade")
    except (OSError, ProtocolError):
        return None


def _replayed(path: Path) -> Iterator[Frame]:
    """The frames of a recording."""
    count = 0
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                try:
                    shown = json.loads(line)
                    lines(shown, width=80, height=None, sort=SORTS[0])
                except (ValueError, KeyError, TypeError, AttributeError):
                    stop(f"{path}:{number}: no frame of `tidegate top --record`")
                count += 1
                yield shown
    except OSError as error:
        stop(f"{path} cannot be read: {error.strerror}")
    if count == 0:
        stop(f"{path} has no frames")


class _Record:
    """Writes frames as lines of JSON, each at once; nothing without a file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        try:
            self._file = path.open("a", encoding="utf-8") if path is not None else None
        except OSError as error:
            stop(f"{path} cannot be written: {error.strerror}")

    def __call__(self, shown: Frame) -> None:
        if self._file is not None:
            try:
                self._file.write(json.dumps(shown, ensure_ascii=False) + "\n")
                self._file.flush()
            except OSError as error:
                stop(f"{self._path} cannot be written: {error.strerror}")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


@contextlib.contextmanager
def _recording(path: Path | None) -> Iterator[_Record]:
    record = _Record(path)
    try:
        yield record
    finally:
        record.close()


class _Screen:
    """The terminal's other screen, with keys as they are typed; all is put back at the end."""

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(sys.stdin)
        self._term = signal.signal(signal.SIGTERM, _end)
        tty.setcbreak(sys.stdin)
        self._write("\x1b[?1049h\x1b[?25l")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write("\x1b[?25h\x1b[?1049l")
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)
        signal.signal(signal.SIGTERM, self._term)

    def draw(self, text: list[str]) -> None:
        """Puts lines in the place of what was there, without a flicker."""
        self._write("\x1b[H" + "".join(f"{line}\x1b[K\r\n" for line in text[:-1]) + f"{text[-1]}\x1b[K\x1b[J")

    def typed(self) -> str:
        """What was typed and not read yet."""
        keys = ""
        while select.select([sys.stdin], [], [], 0)[0]:
            read = os.read(sys.stdin.fileno(), 64)
            if not read:
                return keys + "q"
            keys += read.decode("ascii", "replace")
        return keys

    @staticmethod
    def _write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def _end(number: int, where: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _watch(frames: Iterator[Frame], record: _Record, *, is_live: bool) -> None:
    """The loop on a terminal: `q` ends it, `s` sorts otherwise, `p` holds the picture still.

    A recording is held with its picture; of what runs, frames go on being recorded.
    """
    sort, is_held = 0, False
    shown = next(frames)
    record(shown)
    with _Screen() as screen:
        due = time.monotonic() + INTERVAL
        while True:
            size = shutil.get_terminal_size()
            note = f"q quit  s sort: {SORTS[sort]}  p {'go on (held)' if is_held else 'hold'}"
            screen.draw(lines(shown, width=size.columns, height=size.lines, sort=SORTS[sort], note=note))
            select.select([sys.stdin], [], [], max(due - time.monotonic(), 0))
            for key in screen.typed():
                if key == "q":
                    return
                if key == "s":
                    sort = (sort + 1) % len(SORTS)
                if key == "p":
                    is_held = not is_held
            if time.monotonic() < due:
                continue
            due = time.monotonic() + INTERVAL
            if is_held and not is_live:
                continue
            fresh = next(frames, None)
            if fresh is None:
                return
            record(fresh)
            shown = shown if is_held else fresh
