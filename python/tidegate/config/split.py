# SPDX-License-Identifier: Apache-2.0
"""Cuts the text of a large file into its routes, so that a change to one of 10,000 reads one.

A cut is only a proposal: `load.py` composes every piece by itself, and takes the whole text instead when
any piece is no list of one route, so what a file means never depends on it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

SMALLEST: Final = 1 << 15
"""Characters from which cutting pays."""
_SECTION: Final = re.compile(r"^routes:[ \t]*(?:#[^\n]*)?\n", re.MULTILINE)
_FIRST_ITEM: Final = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\n)*( *)- ")


@dataclass(frozen=True, slots=True)
class Pieces:
    """A text in pieces.

    Attributes:
        rest: The text with an empty list in the place of the routes, lines kept where they were.
        routes: Each with its line, from 0.
    """

    rest: str
    line: int
    """The line of `routes:`, from 0."""
    routes: list[tuple[int, str]]


def split(text: str) -> Pieces | None:
    """The pieces of a file with one block of `routes:` items; `None` when it has another form."""
    if len(text) < SMALLEST or "\r" in text or "\t" in text:
        return None
    sections = list(_SECTION.finditer(text))
    if len(sections) != 1:
        return None
    start = sections[0].end()
    first = _FIRST_ITEM.match(text, start)
    if first is None:
        return None
    # The section goes to the next line at the left edge that is neither an item of it nor a comment.
    edge = re.compile(r"^(?=[^\s#-]|-(?! ))" if not first[1] else r"^(?=[^\s#])", re.MULTILINE)
    after = edge.search(text, start)
    end = after.start() if after is not None else len(text)
    item = re.compile(rf"^{first[1]}- ", re.MULTILINE)
    starts = [found.start() for found in item.finditer(text, start, end)]
    line = text.count("\n", 0, sections[0].start())
    routes: list[tuple[int, str]] = []
    at = line + 1 + text.count("\n", start, starts[0])
    for position, begin in enumerate(starts):
        piece = text[begin : starts[position + 1] if position + 1 < len(starts) else end]
        routes.append((at, piece))
        at += piece.count("\n")
    head = text[: sections[0].start()] + "routes: []\n"
    return Pieces(head + "\n" * text.count("\n", start, end) + text[end:], line, routes)
