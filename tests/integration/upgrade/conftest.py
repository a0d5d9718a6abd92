# SPDX-License-Identifier: Apache-2.0
"""An authority and a certificate, as the tests of TLS have them."""

from tests.integration.tls.conftest import authority, pair

__all__ = ["authority", "pair"]
