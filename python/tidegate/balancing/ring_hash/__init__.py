# SPDX-License-Identifier: Apache-2.0
"""The room `ring_hash`."""

from tidegate.balancing.ring_hash.model import RingHash

Settings = RingHash

__all__ = ["RingHash", "Settings"]
