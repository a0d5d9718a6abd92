# SPDX-License-Identifier: Apache-2.0
"""The room `udp`."""

from tidegate.health.udp.model import UdpCheck

Settings = UdpCheck

__all__ = ["Settings", "UdpCheck"]
