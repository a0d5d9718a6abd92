# SPDX-License-Identifier: Apache-2.0
"""The room `response_headers`."""

from tidegate.policies.response_headers.model import ResponseHeaders

Settings = ResponseHeaders

__all__ = ["ResponseHeaders", "Settings"]
