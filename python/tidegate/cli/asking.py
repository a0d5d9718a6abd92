# SPDX-License-Identifier: Apache-2.0
"""Asks a process of an instance."""

from pathlib import Path
from typing import Any

from tidegate.cli.codes import NOT_RUNNING, stop
from tidegate.protocol import Channel, Message, ProtocolError


def ask(path: Path, kind: str, *, timeout: float = 10.0, **fields: Any) -> Message:
    """Asks the process behind a socket once.

    Raises:
        Refused: It answered with problems.
    """
    try:
        with Channel.to(path) as channel:
            return channel.call(kind, timeout=timeout, **fields)
    except PermissionError:
        stop(f"you may not speak to {path}; try as the user who started the gateway")
    except (OSError, ProtocolError) as error:
        stop(f"{path.name.removesuffix('.sock')} does not answer: {error}", NOT_RUNNING)
