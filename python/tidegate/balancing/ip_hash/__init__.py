# SPDX-License-Identifier: Apache-2.0
"""The room `ip_hash`."""

from tidegate.balancing.ip_hash.model import IpHash

Settings = IpHash

__all__ = ["IpHash", "Settings"]
