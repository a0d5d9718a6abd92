# SPDX-License-Identifier: Apache-2.0
"""An authority and a certificate for `localhost` in a folder of each test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.tls.authority import Authority, Pair


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Signs certificates."""
    return Authority(tmp_path)


@pytest.fixture
def pair(authority: Authority) -> Pair:
    """A certificate for `localhost`."""
    return authority.pair("localhost")
