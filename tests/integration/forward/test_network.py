# SPDX-License-Identifier: Apache-2.0
"""A forward proxy in a network of its own, where addresses are what they are outside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.dark.zones import SEARCH_PATH, why_no_network

ROOT = Path(__file__).parents[3]


def run_inside(module: str) -> None:
    """Runs a module in a network of its own, which must find everything as it should be."""
    if why := why_no_network():
        pytest.skip(why)
    environment = {**os.environ, "PATH": SEARCH_PATH}
    command = ["unshare", "--net", sys.executable, "-m", f"tests.integration.forward.{module}"]
    told = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr


@pytest.mark.timeout(120)
@pytest.mark.needs("ip", "unshare", "curl")
def test_an_address_that_takes_no_packets_does_not_hold_up_the_next() -> None:
    """IPv6 that goes nowhere, and IPv4 that works: over CONNECT and by URL; rules go for each address."""
    run_inside("families")


@pytest.mark.timeout(120)
@pytest.mark.needs("ip", "unshare", "curl")
def test_two_addresses_two_rights_and_nobody_gets_inside() -> None:
    """Public, private and metadata addresses as servers; a name that turns; the origin's log."""
    run_inside("inside")
