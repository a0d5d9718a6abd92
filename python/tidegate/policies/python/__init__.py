# SPDX-License-Identifier: Apache-2.0
"""The room `python`."""

from tidegate.policies.python.model import PythonPolicy

Settings = PythonPolicy

__all__ = ["PythonPolicy", "Settings"]
