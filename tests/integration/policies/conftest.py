# SPDX-License-Identifier: Apache-2.0
"""An authority and a certificate in a folder of each test's own."""

from __future__ import annotations

from tests.integration.tls.conftest import authority, pair

__all__ = ["authority", "pair"]
