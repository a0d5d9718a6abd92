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
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
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

    __slots__ = ("column", "line", "pairs")

    def __init__(self, line: int, column: int) -> None:
        self.pairs: list[tuple[Node, Node]] = []
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


class _Anchors:
    """Nodes by the names that were given to them."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.aliases = 0

    def node(self, event: Any, opened: list[tuple[Sequence | Mapping, list[Node]]]) -> Node:
        """The node that an alias inside the collections of `opened` stands for."""
        line, column = event.start_mark.line, event.start_mark.column
        self.aliases += 1
        if self.aliases > MOST_ALIASES:
            raise Malformed(f"has more than {MOST_ALIASES} aliases", line, column)
        node = self.nodes.get(event.anchor)
        if node is None:
            raise Malformed(f"`*{event.anchor}` has no anchor `&{event.anchor}` before it", line, column)
        if any(node is collection for collection, _ in opened):
            raise Malformed(f"`*{event.anchor}` stands inside what it stands for", line, column)
        return node


def _compose(parser: yaml.CLoader) -> Node | None:
    """With a stack of its own; a large file has a million events, so little is done for each."""
    anchors = _Anchors()
    # The nodes of the innermost collection; of a mapping, keys and values in turn.
    inside: list[Node] = []
    # The open collections, and the nodes of the one around each.
    opened: list[tuple[Sequence | Mapping, list[Node]]] = []
    documents = 0
    while True:
        # PyYAML's stubs say every event and mark may be missing.
        event: Any = parser.get_event()
        kind = type(event)
        if kind is ScalarEvent:
            mark = event.start_mark
            tag = event.tag
            if tag is not None and tag not in (_STR_TAG, "!"):
                raise Malformed(_tag_message(tag), mark.line, mark.column)
            node = Scalar(event.value, not event.style and tag is None, mark.line, mark.column)
            inside.append(node)
            if event.anchor is not None:
                anchors.nodes[event.anchor] = node
        elif kind is MappingStartEvent or kind is SequenceStartEvent:
            mark = event.start_mark
            if event.tag is not None and event.tag not in _COLLECTION_TAGS and event.tag != "!":
                raise Malformed(_tag_message(event.tag), mark.line, mark.column)
            collection = (Mapping if kind is MappingStartEvent else Sequence)(mark.line, mark.column)
            inside.append(collection)
            opened.append((collection, inside))
            inside = []
            if len(opened) > DEEPEST:
                raise Malformed(f"is nested deeper than {DEEPEST}", mark.line, mark.column)
            if event.anchor is not None:
                anchors.nodes[event.anchor] = collection
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            ended, around = opened.pop()
            if type(ended) is Mapping:
                ended.pairs = list(zip(inside[::2], inside[1::2], strict=True))
            elif type(ended) is Sequence:
                ended.items = inside
            inside = around
        elif kind is AliasEvent:
            inside.append(anchors.node(event, opened))
        elif kind is DocumentStartEvent:
            documents += 1
            if documents > 1:
                raise Malformed("is a second document; write one per file", event.start_mark.line, 0)
        elif kind is StreamEndEvent:
            return inside[0] if inside else None


def _tag_message(tag: str) -> str:
    return (
        f"`{tag.replace('tag:yaml.org,2002:', '!!')[:60]}` is a tag, which has no meaning here; leave it out"
    )
