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


@pytest.mark.timeout(120)
@pytest.mark.needs("ip", "unshare", "curl")
def test_two_addresses_two_rights_and_nobody_gets_inside() -> None:
    """Public, private and metadata addresses as servers; a name that turns; the origin's log."""
    if why := why_no_network():
        pytest.skip(why)
    environment = {**os.environ, "PATH": SEARCH_PATH}
    command = ["unshare", "--net", sys.executable, "-m", "tests.integration.forward.inside"]
    told = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr
