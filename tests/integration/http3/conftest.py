# SPDX-License-Identifier: Apache-2.0
"""An authority and a certificate, as the tests of TLS have them, and a listener that speaks HTTP/3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.http3.client import listener_of
from tests.integration.tls.authority import Pair
from tests.integration.tls.conftest import authority, pair

__all__ = ["authority", "pair", "web"]


@pytest.fixture
def web(pair: Pair) -> Callable[..., dict[str, Any]]:
    """A listener of HTTP/3, with more settings."""
    return lambda **more: listener_of(pair, **more)
