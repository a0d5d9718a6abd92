# SPDX-License-Identifier: Apache-2.0
"""The room `ip_deny`."""

from tidegate.policies.ip_deny.model import IpDeny

Settings = IpDeny

__all__ = ["IpDeny", "Settings"]
