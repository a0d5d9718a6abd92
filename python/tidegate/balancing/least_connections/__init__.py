# SPDX-License-Identifier: Apache-2.0
"""The room `least_connections`."""

from tidegate.balancing.least_connections.model import LeastConnections

Settings = LeastConnections

__all__ = ["LeastConnections", "Settings"]
