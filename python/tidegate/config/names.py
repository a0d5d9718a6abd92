# SPDX-License-Identifier: Apache-2.0
"""Names that users choose, and names that HTTP gives: methods, fields, cookies."""

from __future__ import annotations

import re
from typing import Final

LONGEST_ROUTE_NAME: Final = 200
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", re.ASCII)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
# RFC 9110 §5.5: visible characters, blanks and HTAB inside; all that could split a message is out.
_FIELD_VALUE = re.compile(
    r"(?:[\x21-\x7e\x80-\U0010ffff](?:[\t\x20-\x7e\x80-\U0010ffff]*[\x21-\x7e\x80-\U0010ffff])?)?"
)
_HOST_AND_PORT = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}(?:/.*)?", re.ASCII)
_HALF_URL = re.compile(r"(?:[a-z][a-z0-9+.-]*:|/)", re.ASCII)
_BYTES = re.compile(r"(?:[0-9a-fA-F]{2}){1,32}", re.ASCII)
STANDARD_METHODS: Final = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"}
# As `PROTECTED`, `CONNECTION_FIELDS` and `Via` in crates/policies/src/edit.rs.
_FRAMING_FIELDS = frozenset(
    [
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
    ]
)
# As `WRITTEN` in crates/policies/src/request_headers: written again behind the policies.
_FORWARDING_FIELDS = frozenset(
    [
        "forwarded",
        "max-forwards",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-proto",
        "x-request-id",
    ]
)


def name(text: str) -> str:
    """A name of a listener, backend, route, function or policy set: 1 to 100 of `A-Z a-z 0-9 _ . -`.

    Raises:
        ValueError: Another character, or too long.
    """
    if not _NAME.fullmatch(text):
        raise ValueError(f"`{text[:100]}` is no name; use 1 to 100 letters, digits, `_`, `-` and `.`")
    return text


def route_name(text: str) -> str:
    """A route's name: 1 to 200 printable characters without blanks at its ends.

    Raises:
        ValueError: A control character, blanks at the ends, empty, or too long.
    """
    if not text.isprintable() or text != text.strip() or not 1 <= len(text) <= LONGEST_ROUTE_NAME:
        raise ValueError(
            f"a route's name has 1 to {LONGEST_ROUTE_NAME} printable characters and no blanks at its ends"
        )
    return text


def method(text: str) -> str:
    """A method, case kept: any token (RFC 9110 §9.1) but `CONNECT`, `TRACE` and `TRACK`.

    Raises:
        ValueError: It is none; a lower-case spelling of a standard one is taken for a slip.
    """
    if not _TOKEN.fullmatch(text) or len(text) > 64:
        raise ValueError(f"`{text[:64]}` is no method")
    if text.upper() in ("CONNECT", "TRACE", "TRACK"):
        raise ValueError(f"`{text.upper()}` is always refused, so no route can match it")
    if text not in STANDARD_METHODS and text.upper() in STANDARD_METHODS:
        raise ValueError(f"methods are case-sensitive; write `{text.upper()}`")
    return text


def media_type(text: str) -> str:
    """A media type without parameters (RFC 9110 §8.3.1), or `type/*`, in lower case.

    Raises:
        ValueError: It is neither.
    """
    kind, slash, subtype = text.partition("/")
    if not slash or not _TOKEN.fullmatch(kind) or not _TOKEN.fullmatch(subtype) or len(text) > 128:
        raise ValueError(f"`{text[:64]}` is no media type; write `application/json` or `image/*`")
    if "*" in kind or ("*" in subtype and subtype != "*"):
        raise ValueError(f"`{text[:64]}` is no media type; `*` stands for a whole subtype, as in `image/*`")
    return text.lower()


def token(text: str) -> str:
    """A field's or cookie's name: a token (RFC 9110 §5.6.2).

    Raises:
        ValueError: Another character, or empty.
    """
    if not _TOKEN.fullmatch(text) or len(text) > 256:
        raise ValueError(f"`{text[:64]}` is no field name; use letters, digits and `-`")
    return text


def protocol_name(text: str) -> str:
    """A protocol's name in ALPN (RFC 7301 §3.1), of printable characters.

    Raises:
        ValueError: Another character, empty, or too long.
    """
    if not 0 < len(text) < 256 or not all("!" <= each <= "~" for each in text):
        raise ValueError(f"`{text[:64]}` is no protocol's name; write one as in `imap` or `acme-tls/1`")
    return text


def first_bytes(text: str) -> str:
    """What a connection begins with: 1 to 32 printable characters of ASCII, or `hex:` and as many bytes.

    Raises:
        ValueError: Something else.
    """
    wrong = ValueError(
        f"`{text[:64]}` is no start of a connection; write up to 32 printable characters (`SSH-`), or as "
        "many bytes (`hex:0300`)"
    )
    if text.startswith("hex:"):
        digits = text.removeprefix("hex:")
        if not _BYTES.fullmatch(digits):
            raise wrong
    elif not 0 < len(text) <= 32 or not all(" " <= each <= "~" for each in text):
        raise wrong
    return text


def written_bytes(text: str) -> str:
    """1 to 1,024 bytes: text in UTF-8, or pairs of hexadecimal digits behind `hex:`.

    Raises:
        ValueError: Something else.
    """
    if text.startswith("hex:"):
        digits = text.removeprefix("hex:")
        if not re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", digits):
            raise ValueError(f"`{text[:64]}` is no bytes; write pairs of digits behind `hex:` (`hex:0300`)")
        length = len(digits) // 2
    else:
        length = len(text.encode())
    if not 0 < length <= 1024:
        raise ValueError(f"has {length:,} bytes; write 1 to 1,024 bytes")
    return text


def field_name(text: str) -> str:
    """A field's name in lower case.

    Raises:
        ValueError: Another character, or empty.
    """
    return token(text).lower()


def changeable_field_name(text: str) -> str:
    """A field's name in lower case, of a field that policies may change.

    Raises:
        ValueError: The field belongs to framing, routing or the connection, which are tidegate's alone;
            also in a spelling that CGI takes for it, such as `Content_Length`.
    """
    found = field_name(text)
    if _folded(found) in _FRAMING_FIELDS:
        hint = "; `rewrite: { host: ... }` changes what an endpoint sees as `Host`" if found == "host" else ""
        raise ValueError(
            f"`{found}` belongs to framing and connections and can not be changed by a policy{hint}"
        )
    return found


def changeable_request_field_name(text: str) -> str:
    """As `changeable_field_name`, for requests.

    Raises:
        ValueError: As there; or a forwarding field, which tidegate writes behind the policies.
    """
    found = changeable_field_name(text)
    if _folded(found) in _FORWARDING_FIELDS:
        raise ValueError(f"`{found}` is written by tidegate itself, behind the policies; leave it out")
    return found


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "-", name)


def field_value(text: str) -> str:
    """A field's value: no line ends or other control characters, no blanks at its ends (RFC 9110 §5.5).

    Raises:
        ValueError: It holds one.
    """
    if not _FIELD_VALUE.fullmatch(text) or len(text) > 8192:
        raise ValueError(
            "is no field value: no line ends, control characters or blanks at the ends, at most 8 KiB"
        )
    return text


def any_text(text: str) -> str:
    """Any text of at most 1 MiB.

    Raises:
        ValueError: It is longer.
    """
    if len(text) > 1 << 20:
        raise ValueError("has at most 1048576 characters")
    return text


_HANDLER = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


def handler(text: str) -> str:
    """Where a function is found: `package.module:attribute`.

    Raises:
        ValueError: It is written otherwise.
    """
    if _HANDLER.fullmatch(text):
        return text
    if ":" not in text and "." in text:
        module, _, attribute = text.rpartition(".")
        raise ValueError(f"`{text}` has no `:`; write `{module}:{attribute}`")
    raise ValueError(f"`{text[:100]}` is no handler; write `package.module:attribute`")


def reference(text: str) -> str:
    """The name of a backend, in the form of a name or of the URL it was written as.

    Raises:
        ValueError: Neither.
    """
    if "://" in text or text.startswith(("unix:", "function:")):
        return text
    if _HOST_AND_PORT.fullmatch(text):
        raise ValueError(f"`{text[:100]}` is no backend's name; write `http://{text[:100]}` for that address")
    if _HALF_URL.match(text):
        raise ValueError(f"`{text[:100]}` is no backend's name and no URL; write `http://host:port`")
    return name(text)
