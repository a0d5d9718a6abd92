# SPDX-License-Identifier: Apache-2.0
"""The room `peak_ewma`."""

from tidegate.balancing.peak_ewma.model import PeakEwma

Settings = PeakEwma

__all__ = ["PeakEwma", "Settings"]
