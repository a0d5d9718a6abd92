# SPDX-License-Identifier: Apache-2.0
"""The room `least_request`."""

from tidegate.balancing.least_request.model import LeastRequest

Settings = LeastRequest

__all__ = ["LeastRequest", "Settings"]
