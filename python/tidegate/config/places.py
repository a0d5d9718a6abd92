# SPDX-License-Identifier: Apache-2.0
"""Where things stand: from a path into the configuration to file, line and column."""

from __future__ import annotations

from dataclasses import dataclass, field

from tidegate.config.data import Reader
from tidegate.config.errors import path_text
from tidegate.config.nodes import Mapping, Node, Scalar, Sequence
from tidegate.config.problem import Problem

Path = tuple[int | str, ...]


@dataclass(slots=True)
class SourceFile:
    """One file that was read."""

    name: str
    """As the user named it."""
    reader: Reader
    root: Mapping | None = None
    routes_at: list[int] | None = None
    """Of a file read in pieces: what to add to the lines of each route."""


@dataclass(slots=True)
class Entry:
    """What one file says at the first or second level."""

    file: SourceFile
    key: Node
    value: Node
    line: int = 0
    """What to add to its nodes' lines."""


@dataclass(slots=True)
class Section:
    """One top-level key over all files: its entries by name or, for routes, by number."""

    first: Entry
    named: dict[str, Entry] = field(default_factory=dict)
    listed: list[Entry] = field(default_factory=list)


@dataclass(slots=True)
class Found:
    """The deepest node of a path that was written."""

    file: SourceFile
    key: Node | None
    """The key it stands under."""
    node: Node
    path: list[int | str]
    """The parts of the path that were written."""
    line: int = 0
    """What to add to the nodes' lines."""


class Places:
    """The merged files' positions.

    Attributes:
        sections: By top-level key.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.sections: dict[str, Section] = {}
        self.files: list[SourceFile] = []

    def find(self, path: Path) -> Found | None:
        """The deepest written node on `path`, past parts that were not written: short forms, union tags."""
        section = self.sections.get(str(path[0])) if path else None
        if section is None:
            return None
        found = Found(section.first.file, section.first.key, section.first.value, [path[0]])
        rest = path[1:]
        if rest:
            entry = None
            if isinstance(rest[0], int):
                entry = section.listed[rest[0]] if rest[0] < len(section.listed) else None
            else:
                entry = section.named.get(rest[0])
            if entry is not None:
                found = Found(entry.file, entry.key, entry.value, [path[0], rest[0]], entry.line)
                rest = rest[1:]
        for part in rest:
            _step(found, part)
        return found

    def problem(
        self, path: Path, message: str, *, at_key: bool = False, missing: str | None = None
    ) -> Problem:
        """A mistake at `path`.

        Args:
            at_key: Point at the key, not at its value.
            missing: A key that is not there and belongs to the printed path.
        """
        found = self.find(path)
        if found is None:
            return Problem(message, path=path_text(list(path)), file=self.name)
        shown = [*found.path, missing] if missing is not None else found.path
        node = found.key if found.key is not None and (at_key or missing is not None) else found.node
        return Problem(
            self.scrub(message),
            path_text(shown),
            found.file.name,
            node.line + found.line + 1,
            node.column + 1,
        )

    def where(self, path: Path) -> str:
        """`file:line` of the deepest written node on `path`; empty if nothing of it was written."""
        found = self.find(path)
        if found is None:
            return ""
        node = found.node if found.key is None else found.key
        return f"{found.file.name}:{node.line + found.line + 1}"

    def hidden(self, path: Path) -> str | None:
        """The `${...}` that a value was written as, if it was."""
        found = self.find(path)
        if found is None:
            return None
        hidden = found.file.reader.hidden.get(id(found.node))
        return hidden[1][0][1] if hidden else None

    def scrub(self, message: str) -> str:
        """The message with what came out of `${...}` put back behind it: it may be a secret."""
        for file in self.files:
            for _, values in file.reader.hidden.values():
                for value, written in values:
                    # A shorter one is no secret, and replacing it would garble the words around it.
                    if len(value) >= 4 and value in message:
                        message = message.replace(value, written)
        return message


def _step(found: Found, part: int | str) -> None:
    node = found.node
    if type(node) is Sequence and isinstance(part, int) and part < len(node.items):
        found.key, found.node = None, node.items[part]
        found.path.append(part)
    elif type(node) is Mapping and isinstance(part, str):
        for key, value in node.pairs:
            if type(key) is Scalar and key.text == part:
                found.key, found.node = key, value
                found.path.append(part)
                return
