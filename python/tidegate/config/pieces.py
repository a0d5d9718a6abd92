# SPDX-License-Identifier: Apache-2.0
"""Remembers routes by their text, so that a large file read again costs what has changed in it."""

from __future__ import annotations

from collections.abc import Sequence as AbstractSequence
from typing import Any

from tidegate.config.l4 import TcpRoute
from tidegate.config.nodes import Malformed, Mapping, Node, Scalar, Sequence, compose
from tidegate.config.places import SourceFile
from tidegate.config.route import Route
from tidegate.config.split import Pieces, split


class _Piece:
    """One route as text: its node, and its model once it was found to be right."""

    __slots__ = ("node", "route")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.route: Route | TcpRoute | None = None


class PieceCache:
    """Reads files in pieces, and gives back the models of those it has seen."""

    def __init__(self) -> None:
        self._pieces: dict[str, _Piece] = {}
        self._current: list[tuple[str, _Piece] | None] = []
        """In step with the gateway's routes; `None` from a file that was read whole."""

    def read(self, file: SourceFile, text: str) -> dict[str, Any] | None:
        """The data of a file, routes that are known as models among it; `None` to read it whole.

        Whatever is odd, mistakes included, is left to the reading of the whole, which says it well.
        """
        pieces = split(text)
        found = _compose(pieces, self._pieces) if pieces is not None else None
        if pieces is None or found is None:
            return None
        root, known = found
        reader = file.reader
        data = reader.data(root)
        routes: list[Any] = []
        for (_, piece_text), piece in zip(pieces.routes, known, strict=True):
            routes.append(
                piece.route if piece.route is not None and "${" not in piece_text else reader.data(piece.node)
            )
        if reader.mistakes:
            _forget(file)
            return None
        for key, value in root.pairs:
            if type(key) is Scalar and key.text == "routes" and type(value) is Sequence:
                value.items = [piece.node for piece in known]
        data["routes"] = routes
        file.root = root
        file.routes_at = [line for line, _ in pieces.routes]
        self._current += [(text, piece) for (_, text), piece in zip(pieces.routes, known, strict=True)]
        return data if isinstance(data, dict) else None

    def read_whole(self, routes: int) -> None:
        """Says that the next so many routes come from a file that was read whole."""
        self._current += [None] * routes

    def begin(self) -> None:
        """Begins a reading of all files."""
        self._current = []

    def keep(self, routes: AbstractSequence[Route | TcpRoute]) -> None:
        """Remembers the models of this reading, and forgets the texts that are gone."""
        self._pieces = {}
        for current, route in zip(self._current, routes, strict=True):
            if current is not None:
                current[1].route = route
                self._pieces[current[0]] = current[1]


def _compose(pieces: Pieces, known: dict[str, _Piece]) -> tuple[Mapping, list[_Piece]] | None:
    """The root without its routes, and the routes; `None` if any piece is not what it was taken for."""
    try:
        root = compose(pieces.rest)
        found: list[_Piece] = []
        for _, text in pieces.routes:
            piece = known.get(text)
            if piece is None:
                node = compose(text)
                if type(node) is not Sequence or len(node.items) != 1:
                    return None
                piece = _Piece(node.items[0])
            found.append(piece)
    except Malformed:
        return None
    if type(root) is not Mapping:
        return None
    named = [(key, value) for key, value in root.pairs if type(key) is Scalar and key.text == "routes"]
    if (
        len(named) != 1
        or named[0][0].line != pieces.line
        or type(named[0][1]) is not Sequence
        or named[0][1].items
    ):
        return None
    return root, found


def _forget(file: SourceFile) -> None:
    """Undoes what a reading in pieces noted."""
    file.reader.mistakes.clear()
    file.reader.hidden.clear()
    file.reader.alone.clear()
    file.reader.values = 0
