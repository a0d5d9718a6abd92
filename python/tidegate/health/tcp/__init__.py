# SPDX-License-Identifier: Apache-2.0
"""The room `tcp`."""

from tidegate.health.tcp.model import TcpCheck

Settings = TcpCheck

__all__ = ["Settings", "TcpCheck"]
