# SPDX-License-Identifier: Apache-2.0
"""An authority in a folder of each test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.tls.authority import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Signs certificates."""
    return Authority(tmp_path)
