# SPDX-License-Identifier: Apache-2.0
"""The room `dns`."""

from tidegate.discovery.dns.model import DnsDiscovery
from tidegate.discovery.dns.source import follow

Settings = DnsDiscovery

__all__ = ["DnsDiscovery", "Settings", "follow"]
