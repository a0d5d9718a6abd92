# SPDX-License-Identifier: Apache-2.0
"""Ports on 127.0.0.1 for the users' own servers."""

import errno
import random
import socket
from collections.abc import Collection
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_WIDE = 12_000
"""How many ports are chosen from."""
_TRIES = 200


def free_port(taken: Collection[int], draw: random.Random | None = None) -> int:
    """A port that nobody has, outside of those that the kernel gives to outgoing connections.

    The server binds it a moment later: one of the kernel's could be in use again by then, since every
    connection to an endpoint takes one.

    Args:
        taken: Ports that servers of ours have, or had and are to have again.
        draw: Where chance comes from.

    Raises:
        OSError: None was found.
    """
    draw = draw or random.Random()
    low, high = _candidates()
    for _ in range(_TRIES):
        port = draw.randrange(low, high)
        if port not in taken and is_free(port):
            return port
    raise OSError(errno.EADDRINUSE, f"no free port between {low} and {high - 1}")


def is_free(port: int) -> bool:
    """Whether a server could listen there, as servers do: old connections that linger are no hindrance."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _candidates() -> tuple[int, int]:
    """The first port and the one after the last."""
    try:
        first, last = map(int, _RANGE.read_text().split())
    except (OSError, ValueError):
        first, last = 32_768, 60_999
    if first - _WIDE >= 10_000:
        return first - _WIDE, first
    if last + 1_000 <= 65_535:
        return last + 1, 65_536
    # The kernel's own are nearly all there are.
    return 10_000, 65_536
