# SPDX-License-Identifier: Apache-2.0
"""An authority, as the tests of TLS have it."""

from __future__ import annotations

from tests.integration.tls.conftest import authority

__all__ = ["authority"]
