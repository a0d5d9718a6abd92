# SPDX-License-Identifier: Apache-2.0
"""The room `forward_identity`."""

from tidegate.policies.forward_identity.model import ForwardIdentity

Settings = ForwardIdentity

__all__ = ["ForwardIdentity", "Settings"]
