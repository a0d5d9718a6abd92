# SPDX-License-Identifier: Apache-2.0
"""A forward proxy in a network of its own, where addresses are what they are outside."""

from __future__ import annotations

import pytest

from tests.integration.dark.zones import run_inside


@pytest.mark.timeout(120)
@pytest.mark.needs("ip", "unshare", "curl")
def test_an_address_that_takes_no_packets_does_not_hold_up_the_next() -> None:
    """IPv6 that goes nowhere, and IPv4 that works: over CONNECT and by URL; rules go for each address."""
    run_inside("tests.integration.forward.families")


@pytest.mark.timeout(120)
@pytest.mark.needs("ip", "unshare", "curl")
def test_two_addresses_two_rights_and_nobody_gets_inside() -> None:
    """Public, private and metadata addresses as servers; a name that turns; the origin's log."""
    run_inside("tests.integration.forward.inside")
