# SPDX-License-Identifier: Apache-2.0
"""Nodes to plain data: YAML 1.2's core schema, `${env:NAME}` and `${file:path}`.

`no` stays a text, `22:22` never becomes a number of seconds, and a key given twice is an error.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from collections.abc import Mapping as AbstractMapping
from pathlib import Path
from typing import Any, Final

from tidegate.config.nodes import Mapping, Node, Scalar, Sequence
from tidegate.config.secret import Outside
from tidegate.config.suggest import did_you_mean, nearest

_CORE = re.compile(
    r"(?P<null>|~|null|Null|NULL)"
    r"|(?P<bool>true|True|TRUE|false|False|FALSE)"
    r"|(?P<int>[-+]?[0-9]{1,400}|0o[0-7]{1,400}|0x[0-9a-fA-F]{1,400})"
    r"|(?P<float>[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))",
    re.ASCII,
)
# What a core scalar can begin with, so that most texts cost one look-up.
_CORE_FIRST = frozenset("~nNtTfF0123456789+-.")
_SUBSTITUTION = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_LARGEST_FILE: Final = 8 << 20
# Values after aliases are followed; 10,000 routes make some 200,000.
_MOST_VALUES: Final = 2_000_000


def plain_scalar(text: str) -> Any:
    """What a plain scalar means: `None`, a bool, an int, a float, or the text itself (YAML 1.2.2 §10.3.2)."""
    if text and text[0] not in _CORE_FIRST:
        return text
    found = _CORE.fullmatch(text)
    if found is None:
        return text
    match found.lastgroup:
        case "null":
            return None
        case "bool":
            return text[0] in "tT"
        case "int":
            return int(text, 8 if text[:2] == "0o" else 16 if text[:2] == "0x" else 10)
        case _:
            word = text.lower()
            return float(word.replace(".inf", "inf").replace(".nan", "nan") if word[-1] in "fn" else word)


class Reader:
    """Reads the nodes of one file into data and collects every mistake on the way.

    Attributes:
        mistakes: (node, message) pairs.
        hidden: By `id` of a scalar node, the values that replaced its `${...}`.
        files: What `${file:...}` read.
        alone: By `id` of a scalar node that is one `${...}` and nothing else, the text in its place. It is
            a text, quoted or not, unless `load.py` finds that its setting wants a number.
    """

    def __init__(self, folder: Path, environment: AbstractMapping[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self.mistakes: list[tuple[Node, str]] = []
        self.hidden: dict[int, tuple[Scalar, list[tuple[str, str]]]] = {}
        self.files: set[Path] = set()
        self.values = 0
        self.alone: dict[int, str] = {}

    def data(self, node: Node) -> Any:
        """The data a node stands for."""
        self.values += 1
        if self.values > _MOST_VALUES:
            if self.values == _MOST_VALUES + 1:
                self.mistakes.append((node, "stands for too many values once aliases are followed"))
            return None
        if type(node) is Scalar:
            if "${" in node.text:
                return self._substituted(node)
            return plain_scalar(node.text) if node.plain else node.text
        if type(node) is Sequence:
            data = self.data
            return [data(item) for item in node.items]
        assert type(node) is Mapping
        return self._mapping(node)

    def _mapping(self, node: Mapping) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in node.pairs:
            if type(key) is not Scalar:
                self.mistakes.append((key, "a key must be a text"))
                continue
            name = key.text
            if name in result:
                line = 1 + next(
                    each.line for each, _ in node.pairs if type(each) is Scalar and each.text == name
                )
                self.mistakes.append((key, f"`{name[:100]}` is given twice, first on line {line}; keep one"))
                continue
            if name == "<<" and key.plain:
                self.mistakes.append(
                    (
                        key,
                        "merge keys (`<<`) are not known; repeat the settings or use an alias for the whole",
                    )
                )
                continue
            result[name] = self.data(value)
        return result

    def _substituted(self, node: Scalar) -> Any:
        hidden: list[tuple[str, str]] = []
        alone = False
        mistakes = len(self.mistakes)

        def replace(found: re.Match[str]) -> str:
            nonlocal alone
            if found[0] == "$${":
                return "${"
            value = self._outside(node, found)
            hidden.append((value, found[0]))
            alone = found.span() == (0, len(node.text))
            return value

        text = _SUBSTITUTION.sub(replace, node.text)
        if hidden:
            self.hidden[id(node)] = (node, hidden)
            if alone:
                self.alone[id(node)] = text
            sources = tuple(written[2:-1] for _, written in hidden)
            return Outside(text, sources if len(self.mistakes) == mistakes else ())
        return text

    def _outside(self, node: Scalar, found: re.Match[str]) -> str:
        kind, colon, argument = found[1].partition(":")
        if not found[2]:
            self.mistakes.append(
                (node, "has `${` without `}`; write `$${` for the two characters themselves")
            )
        elif kind == "env" and colon:
            return self._read(node, lambda: environment_text(argument, self.environment))
        elif kind == "file" and colon:
            self.files.add(self.folder / argument)
            return self._read(node, lambda: file_text(argument, self.folder))
        else:
            hint = did_you_mean(kind, ("env", "file")) if colon else ""
            self.mistakes.append(
                (
                    node,
                    f"`{found[0][:60]}` is neither `${{env:NAME}}` nor `${{file:path}}`{hint}; "
                    "write `$${` for a plain `${`",
                )
            )
        return ""

    def _read(self, node: Scalar, read: Callable[[], str]) -> str:
        try:
            return read()
        except ValueError as error:
            self.mistakes.append((node, str(error)))
            return ""


def environment_text(name: str, environment: AbstractMapping[str, str]) -> str:
    """The text of an environment variable.

    Raises:
        ValueError: There is none, or it is no name of one.
    """
    if not _ENVIRONMENT_NAME.fullmatch(name):
        raise ValueError(f"`{name[:60]}` is no name of an environment variable")
    value = environment.get(name)
    if value is None:
        other = nearest(name, environment)
        hint = f"; did you mean `{other}`?" if other else "; set it, or write the value"
        raise ValueError(f"the environment variable `{name}` is not set{hint}")
    return value


def file_text(name: str, folder: Path) -> str:
    """The text of a file without its last line end.

    Raises:
        ValueError: It can not be read, is no UTF-8 text, or is larger than 8 MiB.
    """
    try:
        with open(folder / name, "rb", opener=_open_regular) as file:
            content = file.read(_LARGEST_FILE + 1)
        if len(content) > _LARGEST_FILE:
            raise OSError("it is larger than 8 MiB")
        return content.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError(f"the file `{name}` is not UTF-8 text") from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ValueError(f"the file `{name}` can not be read: {reason.lower()}") from None


def _open_regular(path: str, flags: int) -> int:
    # Without O_NONBLOCK a FIFO would wait for a writer for ever.
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("it is no regular file")
    return descriptor
