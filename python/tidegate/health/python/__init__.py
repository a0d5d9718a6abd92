# SPDX-License-Identifier: Apache-2.0
"""The room `python`."""

from tidegate.health.python.model import PythonCheck

Settings = PythonCheck

__all__ = ["PythonCheck", "Settings"]
