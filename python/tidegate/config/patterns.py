# SPDX-License-Identifier: Apache-2.0
"""Paths, path templates and regular expressions, as the engine's router reads them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tidegate.config.expressions import regex as regex

_HEX = frozenset("0123456789ABCDEFabcdef")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# RFC 3986 §3.3 pchar, without `%`.
_PATH_CHARACTERS = _UNRESERVED | frozenset("!$&'()*+,;=:@/")
# As in `crates/routing`, whose tree of templates they deepen.
_MOST_SEGMENTS = 128
# What `path` gives back as it is; most paths are of this kind.
_PLAIN = re.compile(r"/|(?:/[A-Za-z0-9~_-][A-Za-z0-9~._-]*)+/?", re.ASCII)
_PARAMETERS = re.compile(";|%3B")
# A careless decoder reads `/`, `.` or NUL in it (RFC 3629 §10).
_OVERLONG = re.compile("%C[01]%[89AB]|%E0%[89]|%F0%8")
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)


def path(text: str) -> str:
    """A path in the canonical form that requests are compared in: design of `request`, RFC 3986 §6.2.2.

    Unreserved escapes are decoded and the others written in upper case; `//` is one `/`.

    Raises:
        ValueError: No `/` at the start, a query, a fragment, a broken escape, a `.` or `..` segment.
    """
    if _PLAIN.fullmatch(text):
        return str(text)
    if not text.startswith("/"):
        raise ValueError(f"`{text[:100]}` does not begin with `/`; write `/{text[:100].lstrip('*')}`")
    if "?" in text:
        raise ValueError(f"`{text[:100]}` has a query; match it with `query: {{ name: value }}`")
    if "#" in text:
        raise ValueError(f"`{text[:100]}` has a fragment, which is never sent")
    result = re.sub(r"/{2,}", "/", _canonical(text))
    if _OVERLONG.search(result):
        raise ValueError(f"`{text[:100]}` has overlong UTF-8, which is always refused")
    segments = result[1:].split("/")
    for number, segment in enumerate(segments, 1):
        # Origin servers of the Tomcat kind cut parameters off before they look at segments.
        is_bare = segment.startswith((";", "%3B")) and number < len(segments)
        # One may take `%2F` for a separator, so `..` beside it is refused as well.
        names = [_PARAMETERS.split(part)[0] for part in segment.split("%2F")]
        if is_bare or ".." in names or _PARAMETERS.split(segment)[0] == ".":
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
