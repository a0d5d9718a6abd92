# SPDX-License-Identifier: Apache-2.0
"""Paths, path templates and regular expressions, as the engine's router reads them."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass

_HEX = frozenset("0123456789ABCDEFabcdef")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# RFC 3986 §3.3 pchar, without `%`.
_PATH_CHARACTERS = _UNRESERVED | frozenset("!$&'()*+,;=:@/")
# As in `crates/routing`, whose tree of templates they deepen.
_MOST_SEGMENTS = 128
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)


def path(text: str) -> str:
    """A path in the canonical form that requests are compared in: design of `request`, RFC 3986 §6.2.2.

    Unreserved escapes are decoded and the others written in upper case; `//` is one `/`.

    Raises:
        ValueError: No `/` at the start, a query, a fragment, a broken escape, a `.` or `..` segment.
    """
    if not text.startswith("/"):
        raise ValueError(f"`{text[:100]}` does not begin with `/`; write `/{text[:100].lstrip('*')}`")
    if "?" in text:
        raise ValueError(f"`{text[:100]}` has a query; match it with `query: {{ name: value }}`")
    if "#" in text:
        raise ValueError(f"`{text[:100]}` has a fragment, which is never sent")
    result = re.sub(r"/{2,}", "/", _canonical(text))
    # An origin server may take `%2F` for a separator, so `..` beside one is refused as well.
    for segment in re.split("/|%2F", result):
        if segment.partition(";")[0] in (".", ".."):
            raise ValueError(f"`{text[:100]}` has a `{segment}` segment, which requests never have")
    return result


def _canonical(text: str) -> str:
    parts: list[str] = []
    position = 0
    while position < len(text):
        character = text[position]
        if character == "%":
            digits = text[position + 1 : position + 3]
            if len(digits) != 2 or not set(digits) <= _HEX:
                raise ValueError(f"`{text[:100]}` has a broken escape; write `%25` for a percent sign")
            decoded = chr(int(digits, 16))
            if decoded in "\0\\":
                raise ValueError(f"`{text[:100]}` holds `%{digits}`, which is always refused")
            parts.append(decoded if decoded in _UNRESERVED else f"%{digits.upper()}")
            position += 3
            continue
        if character == "\\":
            raise ValueError(f"`{text[:100]}` has a `\\`, which is always refused")
        if character not in _PATH_CHARACTERS:
            escaped = "".join(f"%{byte:02X}" for byte in character.encode())
            raise ValueError(f"`{text[:100]}` has a {character!r}; write `{escaped}`")
        parts.append(character)
        position += 1
    return "".join(parts)


@dataclass(frozen=True, slots=True)
class Template:
    """A path template in parts: literals, and parameters as (name, takes the rest)."""

    text: str
    segments: tuple[str | tuple[str, bool], ...]

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters' names in the order of the path."""
        return tuple(segment[0] for segment in self.segments if isinstance(segment, tuple))


def template(text: str) -> Template:
    """Reads `/users/{id}` or `/files/{rest*}`: `{name}` is one segment, `{name*}` at the end is the rest.

    Raises:
        ValueError: A brace without its pair, a parameter that is part of a segment, a bad or repeated
            name, or `*` before the last segment.
    """
    if not text.startswith("/"):
        raise ValueError(f"`{text[:100]}` does not begin with `/`; write `/{text[:100]}`")
    pieces = text[1:].split("/")
    if len(pieces) > _MOST_SEGMENTS:
        raise ValueError(f"has more than {_MOST_SEGMENTS} segments; end it with `{{rest*}}` earlier")
    segments: list[str | tuple[str, bool]] = []
    seen: set[str] = set()
    for position, piece in enumerate(pieces):
        if "{" not in piece and "}" not in piece:
            segments.append(path("/" + piece)[1:])
            continue
        if not (piece.startswith("{") and piece.endswith("}") and piece.count("{") == piece.count("}") == 1):
            raise ValueError(
                f"`{piece}` in `{text[:100]}`: a parameter is a whole segment, as in `/users/{{id}}`"
            )
        rest = piece.endswith("*}")
        parameter = piece[1 : -2 if rest else -1]
        if not _PARAMETER.fullmatch(parameter):
            raise ValueError(
                f"`{parameter}` in `{text[:100]}` is no parameter name; use letters, digits and `_`"
            )
        if parameter in seen:
            raise ValueError(f"`{{{parameter}}}` is twice in `{text[:100]}`")
        if rest and position != len(pieces) - 1:
            raise ValueError(f"`{piece}` takes the rest of the path and must be last in `{text[:100]}`")
        seen.add(parameter)
        segments.append((parameter, rest))
    if "" in segments[:-1]:
        raise ValueError(f"`{text[:100]}` has an empty segment")
    canonical = "/" + "/".join(
        segment if isinstance(segment, str) else "{" + segment[0] + ("*}" if segment[1] else "}")
        for segment in segments
    )
    return Template(canonical, tuple(segments))


def regex(text: str) -> str:
    """A regular expression for the whole path or value, in the engine's syntax, which never backtracks.

    What Python's `re` and the engine's `regex` both read is accepted; what only backtracking engines
    can do is refused by name. The engine has the last word, with the same kind of message.

    Raises:
        ValueError: Look-around, a back reference, another group that is not known, or broken syntax.
    """
    if not text:
        raise ValueError("is empty; write what the whole value must look like")
    if len(text) > 4096:
        raise ValueError("a regular expression has at most 4096 characters")
    _refuse_backtracking(text)
    # Spellings of Rust's `regex` that Python lacks, and the reverse, before Python judges the rest.
    translated = re.sub(r"\\z", r"\\Z", text)
    translated = re.sub(r"\\x\{[0-9A-Fa-f]+\}", "x", translated)
    translated = re.sub(r"\(\?<([A-Za-z_]\w*)>", r"(?P<\1>", translated)
    translated = re.sub(r"\[\[:\^?\w+:\]", "[a", translated)
    try:
        with warnings.catch_warnings():
            # Python announces set operations, which the engine's `regex` has.
            warnings.simplefilter("ignore")
            re.compile(translated)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"is no regular expression: {error}") from None
    return text


_COUNT = re.compile(r"\{\d+(,\d*)?\}", re.ASCII)
_GROUPS = {
    "(?=": "look-ahead `(?=`",
    "(?!": "look-ahead `(?!`",
    "(?<=": "look-behind `(?<=`",
    "(?<!": "look-behind `(?<!`",
    "(?>": "the atomic group `(?>`",
    "(?(": "the condition `(?(`",
    "(?#": "the comment `(?#`",
    "(?P=": "the back reference `(?P=`",
}


def _counted(text: str, position: int) -> bool:
    """Whether the `{` there is a repetition of something, such as `a{2,3}`."""
    return position > 0 and text[position - 1] not in "(|" and _COUNT.match(text, position) is not None


def _refuse_backtracking(text: str) -> None:
    position, in_class = 0, False
    while position < len(text):
        character = text[position]
        if character == "\\":
            follower = text[position + 1 : position + 2]
            if not in_class and follower.isdigit() and follower != "0":
                raise ValueError(
                    f"has the back reference `\\{follower}`, which needs backtracking; write it without"
                )
            if follower and follower in "pP":
                raise ValueError(
                    f"has `\\{follower}`, which needs Unicode; write an ASCII class like `[A-Za-z]`"
                )
            if follower and follower in "ZGKXRgk":
                raise ValueError(f"has `\\{follower}`, which the engine does not know")
            position += 2
            continue
        if in_class:
            in_class = character != "]"
        elif character == "[":
            in_class = True
            # A first `]`, plain or after `^`, is data.
            while text[position + 1 : position + 2] in ("^", "]") and text[position + 1 :]:
                position += 1
        elif character == "(":
            for opening, words in _GROUPS.items():
                if text.startswith(opening, position):
                    raise ValueError(
                        f"has {words}, which needs backtracking or is not known; write it without"
                    )
        elif character == "{" and not _counted(text, position):
            raise ValueError("has a `{` that counts nothing; write `\\{` for the character itself")
        elif character in "*+?}" and text[position + 1 : position + 2] == "+":
            raise ValueError(
                f"has the possessive `{character}+`, which the engine does not know; drop the `+`"
            )
        position += 1


def path_or_template(text: str) -> str:
    """A path, or a template whose parameters are filled in, in canonical form.

    Raises:
        ValueError: It is neither.
    """
    return template(text).text if "{" in text or "}" in text else path(text)


def path_and_query(text: str) -> str:
    """A path in canonical form, with or without a query, which is kept as it is.

    Raises:
        ValueError: As `path`; or a query with blanks, control characters or a fragment.
    """
    head, mark, query = text.partition("?")
    if not query.isascii() or not query.isprintable() or " " in query or "#" in query:
        raise ValueError(f"`{text[:100]}` has a query that must be escaped")
    return path(head) + mark + query
