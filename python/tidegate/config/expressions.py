# SPDX-License-Identifier: Apache-2.0
"""Regular expressions, judged here so that a mistake is told with its position.

The engine reads them by the Rust crate `regex`: on bytes, with ASCII classes, never backtracking, at most
256 KiB compiled. What is accepted here is accepted there, which a property test holds. The reverse is not
quite so: set operations and nested brackets in classes, word boundaries like `\\<`, comments and repeated
repetitions are refused, because people who write them mostly mean something else.
"""

from __future__ import annotations

import re
from typing import Final, NoReturn

LONGEST: Final = 4096
"""Bytes."""
# Measured, in quarters of what a literal byte takes: 8185 of those fill the engine's 256 KiB.
_MOST: Final = 30_000
_LITERAL, _FOLDED, _ANY, _CLASS, _ITEM, _GROUP, _OPTION = 4, 10, 10, 10, 2, 8, 6
# Each level is a group, a repetition and a concatenation to the engine, which takes 250 of them.
_DEEPEST: Final = 50
_REFUSED_GROUPS: Final = {
    "(?=": "look-ahead `(?=`",
    "(?!": "look-ahead `(?!`",
    "(?<=": "look-behind `(?<=`",
    "(?<!": "look-behind `(?<!`",
    "(?>": "the atomic group `(?>`",
    "(?(": "the condition `(?(`",
    "(?#": "the comment `(?#`",
    "(?P=": "the back reference `(?P=`",
}
_FLAGS = re.compile(r"\(\?([A-Za-z-]*)([:)])")
_NAMED = re.compile(r"\(\?P?<([A-Za-z_][A-Za-z0-9_]*)>")
_COUNT = re.compile(r"\{([0-9]{1,9})(?:(,)([0-9]{0,9}))?\}")
_POSIX_NAMES = "alnum alpha ascii blank cntrl digit graph lower print punct space upper word xdigit"
_POSIX = re.compile(rf"\[:\^?(?:{'|'.join(_POSIX_NAMES.split())}):\]")
_HEX = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|[xuU]\{([0-9A-Fa-f]{1,8})\}|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8}))")
_CONTROLS: Final = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}


def regex(text: str) -> str:
    """A regular expression for the whole path or value.

    Raises:
        ValueError: Broken syntax, look-around or a back reference, what needs Unicode, or too large.
    """
    if not text:
        raise ValueError("is empty; write what the whole value must look like")
    if len(text.encode("utf-8", "surrogatepass")) > LONGEST:
        raise ValueError(f"a regular expression has at most {LONGEST} bytes")
    _Reader(text).read()
    return text


def _broken(why: str) -> NoReturn:
    raise ValueError(f"is no regular expression: {why}")


class _Reader:
    """Reads an expression from the left, adding up what it takes compiled."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.literal = _LITERAL
        self.names: set[str] = set()
        self.open: list[tuple[float, bool]] = []
        self.units: float = 0
        self.last: float | None = None
        """What the last atom takes; `None` where there is nothing to repeat."""

    def read(self) -> None:
        while self.position < len(self.text):
            self._part(self.text[self.position])
            if self.units > _MOST:
                raise ValueError("takes too much when compiled; write smaller repetitions such as `{1,20}`")
        if self.open:
            _broken("a `(` is not closed")

    def _part(self, character: str) -> None:
        match character:
            case "\\":
                _, units = self._escape(in_class=False)
                self._atom(units)
            case "[":
                self._atom(self._class())
            case "(":
                self._open()
            case ")":
                self._close()
            case "|":
                self.units, self.last = self.units + _OPTION, None
                self.position += 1
            case "*" | "+" | "?":
                self.position += 1
                self._repeat(character, 1, 1)
            case "{":
                self._count()
            case _:
                self.position += 1
                self._atom(self._units(character))

    def _units(self, character: str) -> int:
        if character in "^$":
            return 0
        if character == ".":
            return _ANY
        return self.literal * len(character.encode("utf-8", "surrogatepass"))

    def _atom(self, units: float) -> None:
        self.units, self.last = self.units + units, units

    def _open(self) -> None:
        rest = self.text[self.position :]
        for opening, words in _REFUSED_GROUPS.items():
            if rest.startswith(opening):
                raise ValueError(f"has {words}, which needs backtracking or is not known; write it without")
        flags, named = _FLAGS.match(rest), _NAMED.match(rest)
        if flags is not None and flags[0] != "(?:":
            self._flags(flags[1])
        if flags is not None and flags[2] == ")":
            self.position += flags.end()
            self.last = None
            return
        if named is not None:
            if named[1] in self.names:
                _broken(f"the group `{named[1]}` is there twice")
            self.names.add(named[1])
        elif flags is None and rest.startswith("(?"):
            _broken(f"there is no group `{rest[:4]}`")
        self.position += flags.end() if flags else named.end() if named else 1
        self.open.append((self.units, flags is None))
        self.units, self.last = 0, None
        if len(self.open) > _DEEPEST:
            raise ValueError(f"has groups more than {_DEEPEST} deep")

    def _flags(self, letters: str) -> None:
        plain = letters.replace("-", "", 1)
        if (
            not plain
            or letters.endswith("-")
            or len(set(plain)) != len(plain)
            or not set(plain) <= set("imsU")
        ):
            raise ValueError(f"has the flags `{letters}`; the engine's are `i`, `m`, `s` and `U`, each once")
        if "i" in letters.partition("-")[0]:
            self.literal = _FOLDED

    def _close(self) -> None:
        if not self.open:
            _broken("a `)` closes nothing; write `\\)` for the character itself")
        before, is_captured = self.open.pop()
        inside = self.units + (_GROUP if is_captured else 0)
        self.position += 1
        self.units = before
        self._atom(inside)

    def _count(self) -> None:
        found = _COUNT.match(self.text, self.position)
        if found is None or self.last is None:
            raise ValueError("has a `{` that counts nothing; write `\\{` for the character itself")
        least = int(found[1])
        most = least if found[2] is None else int(found[3]) if found[3] else least + 1
        if most < least:
            _broken(f"`{found[0]}` counts backwards")
        self.position = found.end()
        self._repeat(found[0], least, most)

    def _repeat(self, sign: str, least: int, most: int) -> None:
        if self.last is None:
            _broken(f"`{sign}` repeats nothing; write `\\{sign[0]}` for the character itself")
        self.units += self.last * max(most - 1, 0) + _OPTION * (most - least + 1)
        self.last = None
        follower = self.text[self.position : self.position + 1]
        if follower == "?":
            self.position += 1
        elif follower == "+":
            raise ValueError(f"has the possessive `{sign}+`, which the engine does not know; drop the `+`")
        if self.text[self.position : self.position + 1] in ("*", "+", "?", "{"):
            _broken(f"`{sign}` is repeated; put a group `(?:...)` around it")

    def _class(self) -> int:
        text, units, is_first = self.text, _CLASS, True
        self.position += 2 if text.startswith("[^", self.position) else 1
        while self.position < len(text):
            if text[self.position] == "]" and not is_first:
                self.position += 1
                return units * (2 if self.literal == _FOLDED else 1)
            low = self._item()
            is_first, units = False, units + _ITEM
            if text.startswith("-", self.position) and not text.startswith("-]", self.position):
                self.position += 1
                high = self._item() if self.position < len(text) else None
                if low is None or high is None or high < low:
                    _broken("a range in `[...]` is none; write `\\-` for the character itself")
        _broken("a `[` is not closed; write `\\[` for the character itself")

    def _item(self) -> int | None:
        """One character of a class as its number; `None` for a class within."""
        text = self.text
        if posix := _POSIX.match(text, self.position):
            self.position = posix.end()
            return None
        if text[self.position] == "\\":
            return self._escape(in_class=True)[0]
        if text[self.position] == "[":
            raise ValueError("has a `[` inside `[...]`; write `\\[` for the character itself")
        for operation in ("&&", "--", "~~"):
            if text.startswith(operation, self.position):
                raise ValueError(
                    f"has `{operation}` inside `[...]`; write `\\{operation[0]}` for the character"
                )
        found = ord(text[self.position])
        if found > 0x7F:
            raise ValueError(
                f"has `{chr(found)}` inside `[...]`, which needs Unicode; write `(a|{chr(found)})`"
            )
        self.position += 1
        return found

    def _escape(self, *, in_class: bool) -> tuple[int | None, int]:
        """The escape here: its character's number if it stands for one, and what it takes."""
        text, start = self.text, self.position
        follower = text[start + 1 : start + 2]
        if found := _HEX.match(text, start):
            self.position = found.end()
            return self._number(int(next(filter(None, found.groups())), 16), found, in_class)
        self.position += 2
        if follower in _CONTROLS:
            return _CONTROLS[follower], self.literal
        if follower and follower in "dDsSwW":
            return None, _CLASS + 2 * _ITEM
        if follower and follower in "bBAz" and not in_class:
            if text.startswith("{", self.position):
                raise ValueError(f"has `\\{follower}{{`, which counts nothing; leave it out")
            return None, 0
        if follower.isascii() and not follower.isalnum() and follower not in ("", "<", ">", "\b"):
            return ord(follower), self.literal
        return self._unknown(follower, in_class)

    def _number(self, number: int, found: re.Match[str], in_class: bool) -> tuple[int, int]:
        if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
            _broken(f"`{found[0]}` is no character")
        if number > 0x7F and in_class and found[1] is None:
            raise ValueError(f"has `{found[0]}` inside `[...]`, which needs Unicode; write bytes as `\\xe9`")
        return number, self.literal * 4

    def _unknown(self, follower: str, in_class: bool) -> NoReturn:
        if follower.isascii() and follower.isdigit():
            raise ValueError(
                f"has the back reference `\\{follower}`, which needs backtracking; write it without"
            )
        if follower and follower in "pP":
            raise ValueError(f"has `\\{follower}`, which needs Unicode; write an ASCII class like `[A-Za-z]`")
        where = " inside `[...]`" if in_class else ""
        raise ValueError(f"has `\\{follower}`{where}, which the engine does not know")
