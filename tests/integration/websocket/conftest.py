# SPDX-License-Identifier: Apache-2.0
"""An authority and a certificate, as the tests of TLS have them, and the versions with streams."""

from __future__ import annotations

import pytest

from tests.integration.tls.authority import Authority, Pair
from tests.integration.tls.conftest import authority, pair

from .kit import Version, http2, http3

__all__ = ["authority", "pair", "version"]


@pytest.fixture(params=["http2", "http3"])
def version(request: pytest.FixtureRequest, authority: Authority, pair: Pair) -> Version:
    """Each version whose streams carry WebSockets."""
    return http2() if request.param == "http2" else http3(authority, pair)
