# SPDX-License-Identifier: Apache-2.0
"""Addresses: of listeners, of endpoints, of backends written as URLs, of clients."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
# sun_path is 108 bytes with its final NUL (unix(7)).
LONGEST_UNIX_PATH: Final = 107
"""Bytes."""


@dataclass(frozen=True, slots=True)
class BackendUrl:
    """A backend written as a URL, in parts."""

    name: str
    """The URL in its one spelling; also the name of the backend it stands for."""
    address: str
    """The endpoint's address: `host:port` or `unix:/path`."""
    is_secured: bool = False
    """Whether it is `https://`."""

    @property
    def is_site(self) -> bool:
        """Whether it names its host, and another one than this machine."""
        host = self.address.rpartition(":")[0]
        return not host.startswith("[") and not host[-1:].isdigit() and host not in ("localhost", "unix")


def ip_address(text: str) -> str:
    """An IPv4 or IPv6 address in its shortest spelling; brackets around IPv6 are dropped.

    Raises:
        ValueError: It is none.
    """
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        raise ValueError(
            f"`{text}` is no IP address; write `127.0.0.1`, `0.0.0.0` or `::` (all, IPv4 and IPv6)"
        ) from None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise ValueError(f"`{text}` has a zone identifier; write the address without `%{address.scope_id}`")
    return str(address)


def network(text: str) -> str:
    """A network `10.0.0.0/8`, `2001:db8::/32` or a single address, in its shortest spelling.

    Raises:
        ValueError: It is none, or bits behind the prefix are set.
    """
    if "%" in text:
        raise ValueError(f"`{text}` has a zone identifier; write the network without it")
    try:
        found = ipaddress.ip_network(text)
    except ValueError:
        pass
    else:
        mapped = found.network_address.ipv4_mapped if isinstance(found, ipaddress.IPv6Network) else None
        if mapped is not None and found.prefixlen >= 96:
            plain = ipaddress.ip_network((mapped, found.prefixlen - 96))
            raise ValueError(f"`{text}` is IPv4 written as IPv6; write `{plain}`")
        return str(found)
    try:
        loose = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            f"`{text}` is no network; write `10.0.0.0/8`, `2001:db8::/32` or one address"
        ) from None
    raise ValueError(f"`{text}` has bits set behind its prefix; write `{loose}`")


def host_name(text: str) -> str:
    """A host's name in lower case, without a final dot.

    Raises:
        ValueError: It is none.
    """
    name = text.lower().removesuffix(".")
    if not name or len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        if not text.isascii():
            raise ValueError(f"`{text}` is not ASCII; write its `xn--` form")
        raise ValueError(f"`{text}` is no host name; write labels of letters, digits and hyphens")
    # `10.0.0.256` and `0x7f.1` are addresses to some resolvers; no top-level domain is a number.
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        raise ValueError(f"`{text}` ends like an IPv4 address and is none; write four numbers, as `10.0.0.1`")
    return name


@lru_cache(maxsize=4096)
def host_pattern(text: str) -> str:
    """A host of a route: a name, an IP address, or `*.` and a name; lower case.

    Raises:
        ValueError: It is none; a port, a scheme or a wildcard elsewhere is named in the message.
    """
    if "://" in text:
        raise ValueError(f"`{text}` is a URL; write the host alone")
    if text == "*":
        raise ValueError("`*` is every host; leave `hosts` out for that")
    wildcard = text.startswith("*.")
    name = text[2:] if wildcard else text
    if "*" in name:
        raise ValueError(
            f"`{text}` has a `*` inside; only a first label `*.` can be open, as in `*.example.com`"
        )
    if name.startswith("[") and name.endswith("]") and not wildcard:
        address = ip_address(name)
        if ":" not in address:
            raise ValueError(f"`{text}` has brackets around an IPv4 address; write `{address}`")
        return f"[{address}]"
    if not wildcard and (name[-1:].isdigit() or ":" in name):
        try:
            found = ipaddress.ip_address(name)
            return f"[{found}]" if found.version == 6 else str(found)
        except ValueError:
            pass
    head, colon, port = name.rpartition(":")
    if colon and _PORT.fullmatch(port):
        raise ValueError(
            f"`{text}` has a port; write `{'*.' if wildcard else ''}{head}`, listeners choose the port"
        )
    return ("*." if wildcard else "") + host_name(name)


def origin(text: str) -> str:
    """Where a page may be from, as browsers write it: scheme, host, a port that is unusual; or `same`.

    Raises:
        ValueError: It is none.
    """
    if text == "same":
        return text
    scheme, mark, rest = text.lower().partition("://")
    usual = {"http": "80", "https": "443"}.get(scheme)
    if not mark or usual is None or "/" in rest or "?" in rest:
        raise ValueError(f"`{text}` is no origin; write `https://name`, `https://*.name`, or `same`")
    host, colon, port = rest.rpartition(":")
    if not colon or rest.endswith("]"):
        return f"{scheme}://{host_pattern(rest)}"
    suffix = "" if port == usual else f":{_port(port, text)}"
    return f"{scheme}://{host_pattern(host)}{suffix}"


def cors_origin(text: str) -> str:
    """Whose pages may ask: an origin with or without `*.` in front of its host, or `*` for all.

    Raises:
        ValueError: It is none; pages of the host that is asked need no leave.
    """
    if text == "*":
        return text
    if text == "same":
        raise ValueError("pages of the host that is asked need no leave; write those of others, or `*`")
    return origin(text)


def _port(text: str, whole: str) -> int:
    if not _PORT.fullmatch(text) or not 1 <= int(text) <= 65535:
        raise ValueError(f"`{whole}` has no port between 1 and 65535 after its last `:`")
    return int(text)


def unix_path(text: str) -> str:
    """The path of a Unix socket, `/path`, at most 107 bytes.

    Raises:
        ValueError: It is relative, too long, or holds a NUL.
    """
    if not text.startswith("/"):
        raise ValueError(f"`unix:{text}` is not absolute; write `unix:/run/app.sock`")
    if len(text.encode()) > LONGEST_UNIX_PATH:
        raise ValueError(f"the path of a Unix socket has at most {LONGEST_UNIX_PATH} bytes")
    if "\0" in text:
        raise ValueError("the path of a Unix socket holds no NUL")
    return text


def endpoint_address(text: str) -> str:
    """`IP:port`, `[IPv6]:port`, `name:port` or `unix:/path`, in its one spelling.

    Raises:
        ValueError: It is none of them.
    """
    if text.startswith("unix:"):
        return "unix:" + unix_path(text.removeprefix("unix:"))
    if "://" in text:
        scheme, _, rest = text.partition("://")
        bare = rest.rstrip("/")
        if scheme == "https":
            has_port = bare.rpartition("]")[2].count(":") == 1
            raise ValueError(
                f"`{text}` is a URL; write `{bare if has_port else bare + ':443'}`, and `tls: true` on the "
                "backend"
            )
        raise ValueError(f"`{text}` is a URL; write `{bare}`")
    if text.startswith("["):
        inside, bracket, rest = text[1:].partition("]")
        if not bracket or not rest.startswith(":"):
            raise ValueError(f"`{text}` has no port; write `[{inside}]:8080`")
        address = ip_address(inside)
        if ":" not in address:
            raise ValueError(f"`{text}` has brackets around an IPv4 address; write `{address}{rest}`")
        return f"[{address}]:{_port(rest[1:], text)}"
    if text.count(":") > 1:
        raise ValueError(f"`{text}` looks like IPv6; write `[address]:port`")
    host, colon, port = text.partition(":")
    if not colon:
        raise ValueError(f"`{text}` has no port; write `{text}:8080`")
    number = _port(port, text)
    if re.fullmatch(r"[0-9.]+", host):
        try:
            return f"{ipaddress.IPv4Address(host)}:{number}"
        except ValueError:
            raise ValueError(f"`{host}` is no IPv4 address") from None
    return f"{host_name(host)}:{number}"


def backend_url(text: str) -> BackendUrl:
    """Reads a backend written as a URL: `http://host[:port]`, `https://host[:port]`, or `unix:/path`.

    Raises:
        ValueError: Another scheme, or a part that a backend has not (path, query, user).
    """
    if text.startswith("unix:"):
        address = endpoint_address(text)
        return BackendUrl(address, address)
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if not separator:
        raise ValueError(f"`{text}` is no URL; write `http://host:port`")
    if scheme in ("h2c", "grpc", "grpcs"):
        raise ValueError(
            f"`{scheme}://` is written as a backend with `http2: true`, by whose name routes lead to it"
        )
    if scheme in ("ws", "wss", "fcgi", "udp", "tls"):
        raise ValueError(f"`{scheme}://` backends do not exist yet in this version; write `http://host:port`")
    if scheme == "tcp":
        raise ValueError("`tcp://` is for routes with `type: tcp`; write `http://host:port`")
    if scheme not in ("http", "https"):
        raise ValueError(f"`{scheme}://` is no scheme of a backend; write `http://host:port`")
    if "@" in rest:
        raise ValueError("a backend's URL holds no user name or password")
    end = min((rest.find(mark) for mark in "/?#" if mark in rest), default=len(rest))
    authority, tail = rest[:end], rest[end:]
    if tail not in ("", "/"):
        raise ValueError(
            f"`{text}` has a path; write `{scheme}://{authority}` and `rewrite: {{ prefix: {tail} }}`"
        )
    if not authority:
        raise ValueError(f"`{text}` has no host; write `{scheme}://host:port`")
    has_port = authority.rpartition("]")[2].count(":") == 1
    port = 443 if scheme == "https" else 80
    address = endpoint_address(authority if has_port else f"{authority}:{port}")
    return BackendUrl(f"{scheme}://{address}", address, scheme == "https")


def tls_name(text: str) -> str:
    """What an endpoint is asked for in TLS: a host's name, or an IP address without brackets.

    Raises:
        ValueError: It is neither.
    """
    if text.startswith("*"):
        raise ValueError(f"`{text}` is no host; write one name that the certificate is for")
    if "://" in text or "/" in text:
        raise ValueError(f"`{text}` is more than a host; write its name")
    if text[-1:].isdigit() or ":" in text:
        return ip_address(text)
    return host_name(text)


def certificate_name(text: str) -> str:
    """A name in a certificate: a host, an IP address, or a URI to the letter.

    Raises:
        ValueError: It is none of them.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        return tls_name(text)
    if not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme) or not re.fullmatch(r"[!-~]{1,2000}", rest):
        raise ValueError(f"`{text}` is no URI; write one such as `spiffe://example.org/shop`")
    return text


def tcp_url(text: str) -> BackendUrl:
    """Reads where connections go: `tcp://host:port`, or a Unix socket as `unix:/path`; datagrams go to
    `udp://host:port`.

    Raises:
        ValueError: Another scheme, or no port.
    """
    scheme, separator, rest = text.partition("://")
    if separator and scheme.lower() not in ("tcp", "udp"):
        raise ValueError(
            f"`{scheme}://` needs requests, and this route has connections; write `tcp://host:port`"
        )
    address = endpoint_address(rest.removesuffix("/") if separator else text)
    return BackendUrl(f"{scheme.lower()}://{address}" if separator else address, address)


def is_url(text: str) -> bool:
    """Whether a target's text is a URL (or a Unix socket) rather than a backend's name."""
    return "://" in text or text.startswith("unix:")


def listener_address(text: str) -> str:
    """An IP address, or `unix:/path`.

    Raises:
        ValueError: It is neither.
    """
    if text.startswith("unix:"):
        return "unix:" + unix_path(text.removeprefix("unix:"))
    if text.startswith("/"):
        raise ValueError(f"`{text}` is a path; write `unix:{text}`")
    host, colon, port = text.rpartition(":")
    if colon and _PORT.fullmatch(port) and ("." in host or host.endswith("]") or host == ""):
        raise ValueError(f"`{text}` has a port; write it as `port: {port}`")
    if text == "localhost":
        raise ValueError("`localhost` is a name; write `127.0.0.1` or `::1`")
    return ip_address(text)


def authority(text: str) -> str:
    """A host with or without a port, as a request names it, in lower case.

    Raises:
        ValueError: It is none.
    """
    if "://" in text or "/" in text or "@" in text:
        raise ValueError(f"`{text}` is more than a host; write `name` or `name:port`")
    if text.rpartition("]")[2].count(":") == 1:
        return endpoint_address(text)
    if text.startswith("*"):
        raise ValueError(f"`{text}` is no host; write `name` or `name:port`")
    return host_pattern(text)
