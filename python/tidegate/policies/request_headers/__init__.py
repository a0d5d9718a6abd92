# SPDX-License-Identifier: Apache-2.0
"""The room `request_headers`."""

from tidegate.policies.request_headers.model import RequestHeaders

Settings = RequestHeaders

__all__ = ["RequestHeaders", "Settings"]
