# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.http1.targets import Targets


@pytest.fixture(scope="session")
def targets() -> Iterator[Targets]:
    """The gateways of gateways.yaml, one process each for the whole run."""
    with Targets() as running:
        yield running
