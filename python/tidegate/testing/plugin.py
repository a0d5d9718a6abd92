# SPDX-License-Identifier: Apache-2.0
"""Fixtures for pytest, loaded by itself wherever tidegate is installed.

Each returns the function of the same name, and whatever was started with it ends with the test.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tidegate.testing import FakeEndpoint, RunningGateway


@pytest.fixture
def tidegate_endpoint() -> Iterator[Callable[..., FakeEndpoint]]:
    """Starts fake endpoints: `upstream = tidegate_endpoint(respond=204)`."""
    from tidegate.testing import endpoint

    with contextlib.ExitStack() as stack:
        yield lambda *arguments, **options: stack.enter_context(endpoint(*arguments, **options))


@pytest.fixture
def tidegate_gateway() -> Iterator[Callable[..., RunningGateway]]:
    """Starts gateways: `running = tidegate_gateway(configuration)`."""
    from tidegate.testing import gateway

    def start(configuration: Any, **options: Any) -> RunningGateway:
        return stack.enter_context(gateway(configuration, **options))

    with contextlib.ExitStack() as stack:
        yield start
