# SPDX-License-Identifier: Apache-2.0
"""The room `cors`."""

from tidegate.policies.cors.model import Cors

Settings = Cors

__all__ = ["Cors", "Settings"]
