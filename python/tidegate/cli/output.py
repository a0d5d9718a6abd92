# SPDX-License-Identifier: Apache-2.0
"""Text for people, JSON for programs."""

import json
import os
import sys
from collections.abc import Sequence

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def has_colour() -> bool:
    """Whether standard output is a terminal that may be coloured (https://no-color.org)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and sys.stdout.isatty()


def paint(text: str, style: str) -> str:
    """`text` in a style (`bold`, `dim`, `red`, `green`, `yellow`, `cyan`) where that is wanted."""
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if has_colour() else text


def print_json(value: object) -> None:
    """Prints a value as indented JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Rows in aligned columns under their headings; numbers to the right."""
    cells = [[_text(cell) for cell in row] for row in rows]
    widths = [max([len(head), *(len(row[at]) for row in cells)]) for at, head in enumerate(headings)]
    right = [
        all(isinstance(row[at], int | float) for row in rows) and bool(rows) for at in range(len(headings))
    ]
    lines = [paint(_line(headings, widths, right), "bold")]
    lines += [_line(row, widths, right) for row in cells]
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    parts = [
        cell.rjust(width) if is_right else cell.ljust(width)
        for cell, width, is_right in zip(cells, widths, right, strict=True)
    ]
    return "  ".join(parts).rstrip()


def _text(value: object) -> str:
    if value is None or value == "":
        return "-"
    # What comes from a peer or a file must not steer the terminal.
    return "".join(character if character.isprintable() else "?" for character in str(value))


def plain(value: object) -> str:
    """A value as one line without control characters."""
    return _text(value)
