# SPDX-License-Identifier: Apache-2.0
"""What a request means to tidegate, written once more in Python: design.md §4.2 read literally.

It is slow and plain on purpose, and shares nothing with the engine: where the two differ, one is wrong.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from tidegate.testing import Malformed, Message, Reader

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ABSOLUTE = re.compile(r"http://([^/?#]*)([^#]*)", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?")
_PROTOCOL = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:/[!#$%&'*+\-.^_`|~0-9A-Za-z/]*)?"
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


class Refused(Exception):
    """tidegate must refuse this."""


@dataclass(frozen=True)
class Meaning:
    """What must reach an endpoint: `target` is canonical path and raw query, `host` the authority."""

    method: str
    target: str
    host: str
    body: bytes


def canonical_path(path: str, *, merge_slashes: bool = True) -> str:
    """The one spelling of a path.

    Raises:
        Refused: It has `..` in any spelling, a backslash, NUL, a broken escape or a byte that is no URI's.
    """
    if not path.startswith("/") or re.search(r"[^\x21-\x7e]|[\\#]", path):
        raise Refused(f"path {path!r}")
    if re.search(r"%(?![0-9A-Fa-f]{2})", path) or re.search(r"%00|%5c", path, re.IGNORECASE):
        raise Refused(f"escape in {path!r}")
    if re.search(r"%c[01]%[89ab]|%e0%[89]|%f0%8", path, re.IGNORECASE):
        raise Refused(f"overlong UTF-8 in {path!r}")

    def escape(found: re.Match[str]) -> str:
        byte = int(found[1], 16)
        return chr(byte) if byte in _UNRESERVED else found[0].upper()

    path = re.sub(r"%([0-9A-Fa-f]{2})", escape, path)
    path = re.sub(r'["<>\[\]^`{|}]', lambda found: f"%{ord(found[0]):02X}", path)
    # A server may read an escaped slash as a slash, and text after `;` as parameters.
    for segment in re.split(r"/|%2F", path):
        if re.split(r";|%3B", segment)[0] == "..":
            raise Refused(f"dots in {path!r}")
    segments = path.split("/")[1:]
    names = [re.split(r";|%3B", segment)[0] for segment in segments]
    for name, segment in zip(names, segments, strict=True):
        if name == "." and segment != ".":
            raise Refused(f"dot with parameters in {path!r}")
    if any(segment and not name for name, segment in zip(names[:-1], segments[:-1], strict=True)):
        raise Refused(f"parameters alone in {path!r}")
    last = "/" if segments[-1] in ("", ".") else ""
    kept = [segment for segment in segments[:-1] if segment != "."] + ([segments[-1]] if not last else [])
    if merge_slashes:
        kept = [segment for segment in kept if segment]
    return "/" + "/".join(kept) + (last if kept else "")


def canonical_host(authority: str) -> str:
    """The one spelling of `host[:port]`.

    Raises:
        Refused: It is not one host with at most one port.
    """
    found = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]{0,5}))?", authority)
    if found is None:
        raise Refused(f"host {authority!r}")
    host, port = found[1], found[2]
    if host.startswith("["):
        try:
            host = f"[{ipaddress.IPv6Address(host[1:-1])}]"
        except ValueError:
            raise Refused(f"host {authority!r}") from None
        if "%" in found[1]:
            raise Refused(f"zone in {authority!r}")
    elif not _NAME.fullmatch(host) or len(host.removesuffix(".")) > 253:
        raise Refused(f"host {authority!r}")
    elif _NUMBER.fullmatch(host.lower().removesuffix(".").rpartition(".")[2]):
        try:
            ipaddress.IPv4Address(host.removesuffix("."))
        except ValueError:
            raise Refused(f"nearly an IPv4 address: {authority!r}") from None
    if port and (not 1 <= int(port) <= 65535 or port.startswith("0")):
        raise Refused(f"port of {authority!r}")
    return host.lower().removesuffix(".") + (f":{port}" if port and port != "80" else "")


def meaning(message: Message) -> Meaning:
    """What a well-formed message means.

    Raises:
        Refused: tidegate must not serve it.
    """
    hosts = message.all("host")
    if len(hosts) > 1 or (not hosts and message.version == "HTTP/1.1"):
        raise Refused(f"hosts {hosts}")
    if message.method.upper() in ("CONNECT", "TRACE", "TRACK") or len(message.method) > 40:
        raise Refused("method " + message.method[:50])
    for name in ("authorization", "content-type"):
        if len(message.all(name)) > 1:
            raise Refused(f"{name} twice")
    if len([option for option in (message.get("connection") or "").split(",") if option.strip()]) > 32:
        raise Refused("too many connection options")
    expectations = message.all("expect")
    if expectations and [e.lower() for e in expectations] != ["100-continue"]:
        raise Refused(f"expect {expectations}")
    has_body = message.framing == "chunked" or (message.get("content-length") or "0").strip("0") != ""
    upgrades = message.all("upgrade") if message.lists("connection", "upgrade") else []
    # A list of protocols, what is no protocol, and h2c are ignored.
    is_offered = (
        len(upgrades) == 1
        and re.fullmatch(_PROTOCOL, upgrades[0])
        and not re.match("h2c(/|$)", upgrades[0], re.I)
    )
    if is_offered and has_body and message.version == "HTTP/1.1":
        raise Refused("upgrade with a body")
    # An empty Host says that there is none (RFC 9112 §3.2), as HTTP/1.0 says by leaving it out.
    host = canonical_host(hosts[0]) if hosts and hosts[0] else ""
    target = message.target
    if target == "*" and message.method == "OPTIONS":
        return Meaning(message.method, "*", host, message.body)
    if not target.startswith("/"):
        found = _ABSOLUTE.fullmatch(target)
        if found is None:
            raise Refused(f"target {target!r}")
        host, target = canonical_host(found[1]), found[2]
        if not target.startswith("/"):
            target = "/" + target
    path, question, query = target.partition("?")
    if re.search(r"[^\x21-\x7e]|#", query):
        raise Refused(f"query {query!r}")
    return Meaning(message.method, canonical_path(path) + question + query, host, message.body)


@dataclass(frozen=True)
class Judgement:
    """What must come of one connection's bytes: what is served, then what is refused or missing."""

    served: list[Meaning]
    refused: str | None = None
    incomplete: bool = False


def judge(data: bytes, header_size: int = 32768, fields: int = 100) -> Judgement:
    """Reads a connection's bytes as tidegate must, up to the first refusal or close."""
    served: list[Meaning] = []
    while data:
        # RFC 9112 §2.2: one empty line before a request line is skipped.
        data = data[2:] if data.startswith(b"\r\n") else data
        if not data:
            break
        reader = Reader("request", most=1)
        try:
            step = _first(reader, data)
            if step is None:
                _judge_head(reader, data)
                return Judgement(served, None, True)
            message, data = step
            if len(message.fields) > fields or len(message.raw) - len(message.body) > header_size:
                raise Refused("too large")
            served.append(meaning(message))
        except (Malformed, Refused) as error:
            return Judgement(served, str(error))
        if message.lists("connection", "close"):
            break
        if message.version == "HTTP/1.0" and not message.lists("connection", "keep-alive"):
            break
    return Judgement(served)


def _first(reader: Reader, data: bytes) -> tuple[Message, bytes] | None:
    """The first message of `data` and what follows it."""
    reader.feed(data)
    if not reader.messages:
        return None
    first = reader.messages[0]
    return first, data[len(first.raw) :]


def _judge_head(reader: Reader, data: bytes) -> None:
    """A head that is whole is judged before its body is."""
    if reader.head is not None:
        head = reader.head
        framed = "none" if not (head.all("content-length") or head.all("transfer-encoding")) else "length"
        meaning(Message(head.line, head.fields, "length" if framed == "length" else "none"))
