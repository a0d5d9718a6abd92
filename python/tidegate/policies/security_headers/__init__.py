# SPDX-License-Identifier: Apache-2.0
"""The room `security_headers`."""

from tidegate.policies.security_headers.model import SecurityHeaders

Settings = SecurityHeaders

__all__ = ["SecurityHeaders", "Settings"]
