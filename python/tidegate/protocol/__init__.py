# SPDX-License-Identifier: Apache-2.0
"""How the processes of one gateway speak with each other.

Frames of JSON over Unix sockets, some with file descriptors. Start with `frames` (the wire form);
`Channel` is the blocking end (commands, adoption), `Peer` the one of the supervisor's loop,
`AsyncChannel` the one of control.
"""

from tidegate.protocol.channel import Channel
from tidegate.protocol.frames import (
    MAX_DESCRIPTORS,
    MAX_FRAME,
    Decoder,
    Message,
    ProtocolError,
    Refused,
    WireProblem,
    encode,
)
from tidegate.protocol.messages import Address, OriginSpec, Pool, name_of
from tidegate.protocol.sockets import connect, listen

__all__ = [
    "MAX_DESCRIPTORS",
    "MAX_FRAME",
    "Address",
    "Channel",
    "Decoder",
    "Message",
    "OriginSpec",
    "Pool",
    "ProtocolError",
    "Refused",
    "WireProblem",
    "connect",
    "encode",
    "listen",
    "name_of",
]
