# SPDX-License-Identifier: Apache-2.0
"""The room `mtls`."""

from tidegate.policies.mtls.model import Mtls

Settings = Mtls

__all__ = ["Mtls", "Settings"]
