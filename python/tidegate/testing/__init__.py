# SPDX-License-Identifier: Apache-2.0
"""The test kit: a real gateway on a free port, fake endpoints, a client by bytes, decisions without sockets.

Everything here waits on events with deadlines and binds free loopback ports, so that tests can run at once.
"""

from .endpoints import Answer, Connection, FakeEndpoint, Reply, Respond, Script, endpoint
from .messages import Malformed, Message, Reader, read_requests
from .wire import Wire

__all__ = [
    "Answer",
    "Connection",
    "FakeEndpoint",
    "Malformed",
    "Message",
    "Reader",
    "Reply",
    "Respond",
    "Script",
    "Wire",
    "endpoint",
    "read_requests",
]
