# SPDX-License-Identifier: Apache-2.0
"""The room `http`."""

from tidegate.health.http.model import HttpCheck

Settings = HttpCheck

__all__ = ["HttpCheck", "Settings"]
