# SPDX-License-Identifier: Apache-2.0
"""The room `maglev`."""

from tidegate.balancing.maglev.model import Maglev

Settings = Maglev

__all__ = ["Maglev", "Settings"]
