# SPDX-License-Identifier: Apache-2.0
"""The room `command`."""

from tidegate.health.command.model import CommandCheck

Settings = CommandCheck

__all__ = ["CommandCheck", "Settings"]
