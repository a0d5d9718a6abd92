# SPDX-License-Identifier: Apache-2.0
"""An authority for each test, and a folder for the store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.acme.pebble import Pebble, pebble


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Pebble]:
    """Signs for ninety days."""
    with pebble(tmp_path / "authority") as found:
        yield found


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The folder of the store."""
    return tmp_path / "store"
