# SPDX-License-Identifier: Apache-2.0
"""The room `authorize`."""

from tidegate.policies.authorize.model import Authorize

Settings = Authorize

__all__ = ["Authorize", "Settings"]
