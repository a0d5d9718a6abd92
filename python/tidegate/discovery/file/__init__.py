# SPDX-License-Identifier: Apache-2.0
"""The room `file`."""

from tidegate.discovery.file.model import FileDiscovery
from tidegate.discovery.file.source import follow

Settings = FileDiscovery

__all__ = ["FileDiscovery", "Settings", "follow"]
