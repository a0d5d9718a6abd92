# SPDX-License-Identifier: Apache-2.0
"""What the demo prints. Colour only where somebody looks at it."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from typing import TextIO

_COLOURS = {"green": "32", "red": "31", "cyan": "36", "bold": "1", "quiet": "2"}


class Screen:
    """Prints lines to one stream, or nothing."""

    def __init__(self, stream: TextIO | None = None, silent: bool = False) -> None:
        self._stream = stream or sys.stdout
        self._silent = silent
        # https://no-color.org: any value but none turns colour off.
        dumb = os.environ.get("TERM") == "dumb"
        self._coloured = self._stream.isatty() and not dumb and not os.environ.get("NO_COLOR")

    def paint(self, text: str, colour: str) -> str:
        """`text` in a colour of _COLOURS, if colours are on."""
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self._coloured else text

    def line(self, text: str = "") -> None:
        """One line."""
        if not self._silent:
            print(text, file=self._stream, flush=True)

    def title(self, text: str) -> None:
        """A line that stands out."""
        self.line(self.paint(text, "bold"))

    def check(self, is_true: bool, text: str) -> None:
        """Something that was looked at."""
        mark = self.paint("ok  ", "green") if is_true else self.paint("FAIL", "red")
        self.line(f"   {mark} {self._wrapped(text)}")

    def _wrapped(self, text: str) -> str:
        """`text` in lines of a terminal, behind a mark; one line for whoever is none."""
        if not self._stream.isatty():
            return text
        width = max(shutil.get_terminal_size().columns - 8, 40)
        return "\n        ".join(textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False))
