# SPDX-License-Identifier: Apache-2.0
"""The room `random`."""

from tidegate.balancing.random.model import Random

Settings = Random

__all__ = ["Random", "Settings"]
