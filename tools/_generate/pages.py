# SPDX-License-Identifier: Apache-2.0
"""The reference: JSON Schema and pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def outputs(root: Path) -> Iterator[tuple[str, str]]:
    """The reference's files."""
    yield from ()
