# SPDX-License-Identifier: Apache-2.0
"""The room `ip_allow`."""

from tidegate.policies.ip_allow.model import IpAllow

Settings = IpAllow

__all__ = ["IpAllow", "Settings"]
