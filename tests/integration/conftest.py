# SPDX-License-Identifier: Apache-2.0
"""What tests of several folders begin with."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from .bad_days.load import Bench, Origin


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Where origins and clients run."""
    with Bench() as running:
        yield running


@pytest.fixture
def origin(bench: Bench) -> Iterator[Origin]:
    """An origin server that takes a moment for each answer."""
    with closing(Origin(bench, after=0.02)) as running:
        yield running


@pytest.fixture
def development(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A test's own folder for authority and certificate of development, and not the user's."""
    kept = tmp_path / "development"
    monkeypatch.setenv("TIDEGATE_DEV_CERT_DIR", str(kept))
    return kept


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """An event that is set at the end at the latest."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may read; those of pytest are for their owner alone."""
    with tempfile.TemporaryDirectory(prefix="tidegate-test-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)
