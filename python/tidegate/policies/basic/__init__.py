# SPDX-License-Identifier: Apache-2.0
"""The room `basic`."""

from tidegate.policies.basic.model import Basic, BasicUser

Settings = Basic

__all__ = ["Basic", "BasicUser", "Settings"]
