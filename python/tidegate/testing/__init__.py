# SPDX-License-Identifier: Apache-2.0
"""The test kit: a real gateway on a free port, fake endpoints, a client by bytes, decisions without sockets.

Everything here waits on events with deadlines and binds free loopback ports, so that tests can run at once.
"""

from tidegate.running import Request

from .clock import FakeClock
from .endpoints import Answer, Connection, FakeEndpoint, Reply, Respond, Script, endpoint
from .gateways import RunningGateway, decide, gateway, wait_until
from .messages import Malformed, Message, Reader, read_requests
from .rebind import Configuration
from .wire import Wire

__all__ = [
    "Answer",
    "Configuration",
    "Connection",
    "FakeClock",
    "FakeEndpoint",
    "Malformed",
    "Message",
    "Reader",
    "Reply",
    "Request",
    "Respond",
    "RunningGateway",
    "Script",
    "Wire",
    "decide",
    "endpoint",
    "gateway",
    "read_requests",
    "wait_until",
]
