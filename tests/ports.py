# SPDX-License-Identifier: Apache-2.0
"""Ports for programs that can not be handed a bound socket."""

from __future__ import annotations

import random
import socket
from typing import Final

_FIRST: Final = 10_000
_LAST: Final = 20_000
"""Below those that the kernel gives to outgoing connections, and those that tidegate gives to processes."""
_claims: list[socket.socket] = []


def free_port() -> int:
    """A port that nobody listens on, and that no other tests of this machine are given while these last.

    A port that the kernel chose is any other program's again a moment later.
    """
    while True:
        port = random.randrange(_FIRST, _LAST)
        claim = socket.socket(socket.AF_UNIX)
        try:
            # A name in no file system, gone with this process.
            claim.bind(f"\0tidegate.tests.port.{port}")
            with socket.socket(socket.AF_INET6) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("::", port))
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return port
