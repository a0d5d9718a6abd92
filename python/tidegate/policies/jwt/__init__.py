# SPDX-License-Identifier: Apache-2.0
"""The room `jwt`."""

from tidegate.policies.jwt.issuer import JwtIssuer
from tidegate.policies.jwt.model import Jwt

Settings = Jwt

__all__ = ["Jwt", "JwtIssuer", "Settings"]
