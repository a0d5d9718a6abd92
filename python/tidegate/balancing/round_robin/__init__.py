# SPDX-License-Identifier: Apache-2.0
"""The room `round_robin`."""

from tidegate.balancing.round_robin.model import RoundRobin

Settings = RoundRobin

__all__ = ["RoundRobin", "Settings"]
