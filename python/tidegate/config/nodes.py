# SPDX-License-Identifier: Apache-2.0
"""YAML text to nodes with positions.

libyaml finds the structure, event by event; PyYAML's own composer recurses on the C stack and dies of
deep nesting. What a scalar means is decided in `data.py`.
"""

from __future__ import annotations

from typing import Any, Final

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from tidegate.config.syntax import place, words

_STR_TAG = "tag:yaml.org,2002:str"
_COLLECTION_TAGS = frozenset({"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})
DEEPEST: Final = 100
"""Collections inside each other; what we need is 10."""
MOST_ALIASES: Final = 10_000
"""Aliases in one file."""


class Malformed(Exception):
    """The text is no YAML document we read.

    Attributes:
        line, column: From 0.
    """

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


class Scalar:
    """A text, and whether it was written plain, that is, without quotes, block style or tag."""

    __slots__ = ("column", "line", "plain", "text")

    def __init__(self, text: str, plain: bool, line: int, column: int) -> None:
        self.text = text
        self.plain = plain
        self.line = line
        self.column = column


class Sequence:
    """A list of nodes."""

    __slots__ = ("column", "items", "line")

    def __init__(self, line: int, column: int) -> None:
        self.items: list[Node] = []
        self.line = line
        self.column = column


class Mapping:
    """Pairs of nodes in the order of the file, equal keys included."""

    __slots__ = ("column", "line", "pairs", "pending")

    def __init__(self, line: int, column: int) -> None:
        self.pairs: list[tuple[Node, Node]] = []
        self.pending: Node | None = None
        self.line = line
        self.column = column


Node = Scalar | Sequence | Mapping


def compose(text: str) -> Node | None:
    """The one document of a text; `None` if it is empty. An alias is the very node of its anchor.

    Raises:
        Malformed: Bad syntax, several documents, an undefined alias, a tag, or a limit passed.
    """
    try:
        return _compose(yaml.CLoader(text))
    except yaml.MarkedYAMLError as error:
        raise Malformed(words(error, text), *place(error)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, max(error.position, 0))
        raise Malformed("holds a character that YAML does not allow", line, 0) from None
    except (yaml.YAMLError, UnicodeError, ValueError) as error:
        raise Malformed(f"is no YAML: {str(error)[:200]}", 0, 0) from None


class _Composer:
    """Puts the nodes of one document together, with a stack of its own."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.stack: list[Sequence | Mapping] = []
        self.anchors: dict[str, Node] = {}
        self.aliases = 0

    def place(self, node: Node) -> None:
        """Puts a node where the document stands."""
        if not self.stack:
            self.root = node
            return
        top = self.stack[-1]
        if type(top) is Sequence:
            top.items.append(node)
        elif type(top) is Mapping:
            if top.pending is None:
                top.pending = node
            else:
                top.pairs.append((top.pending, node))
                top.pending = None

    def open(self, node: Sequence | Mapping, anchor: str | None) -> None:
        """Begins a collection."""
        self.place(node)
        self.stack.append(node)
        if len(self.stack) > DEEPEST:
            raise Malformed(f"is nested deeper than {DEEPEST}", node.line, node.column)
        if anchor is not None:
            self.anchors[anchor] = node

    def alias(self, event: Any) -> None:
        """Puts an anchor's node where its alias stands."""
        line, column = event.start_mark.line, event.start_mark.column
        self.aliases += 1
        if self.aliases > MOST_ALIASES:
            raise Malformed(f"has more than {MOST_ALIASES} aliases", line, column)
        node = self.anchors.get(event.anchor)
        if node is None:
            raise Malformed(f"`*{event.anchor}` has no anchor `&{event.anchor}` before it", line, column)
        if any(node is opened for opened in self.stack):
            raise Malformed(f"`*{event.anchor}` stands inside what it stands for", line, column)
        self.place(node)


def _compose(loader: yaml.CLoader) -> Node | None:
    composer = _Composer()
    put = composer.place
    documents = 0
    while True:
        # PyYAML's stubs say every event and mark may be missing.
        event: Any = loader.get_event()
        kind = type(event)
        if kind is ScalarEvent:
            mark = event.start_mark
            tag = event.tag
            if tag is not None and tag not in (_STR_TAG, "!"):
                raise Malformed(_tag_message(tag), mark.line, mark.column)
            node = Scalar(event.value, not event.style and tag is None, mark.line, mark.column)
            put(node)
            if event.anchor is not None:
                composer.anchors[event.anchor] = node
        elif kind is MappingStartEvent or kind is SequenceStartEvent:
            mark = event.start_mark
            if event.tag is not None and event.tag not in _COLLECTION_TAGS and event.tag != "!":
                raise Malformed(_tag_message(event.tag), mark.line, mark.column)
            opened = Mapping if kind is MappingStartEvent else Sequence
            composer.open(opened(mark.line, mark.column), event.anchor)
        elif isinstance(event, CollectionEndEvent):
            composer.stack.pop()
        elif kind is AliasEvent:
            composer.alias(event)
        elif kind is DocumentStartEvent:
            documents += 1
            if documents > 1:
                raise Malformed("is a second document; write one per file", event.start_mark.line, 0)
        elif kind is StreamEndEvent:
            return composer.root


def _tag_message(tag: str) -> str:
    return (
        f"`{tag.replace('tag:yaml.org,2002:', '!!')[:60]}` is a tag, which has no meaning here; leave it out"
    )
