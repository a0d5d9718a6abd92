# SPDX-License-Identifier: Apache-2.0
"""The room `api_key`."""

from tidegate.policies.api_key.model import ApiKey
from tidegate.policies.api_key.owner import ApiKeyHash, ApiKeyOwner

Settings = ApiKey

__all__ = ["ApiKey", "ApiKeyHash", "ApiKeyOwner", "Settings"]
