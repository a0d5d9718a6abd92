# SPDX-License-Identifier: Apache-2.0
"""What every test in the repository shares: skips by name, which CI turns into failures."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

REQUIRE_ALL = os.environ.get("REQUIRE_ALL") == "1"
SEARCH_PATH = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips a test marked `needs(...)` whose programs are not on this machine, naming them."""
    for marker in item.iter_markers("needs"):
        missing = [name for name in marker.args if shutil.which(name, path=SEARCH_PATH) is None]
        if missing:
            pytest.skip(f"not on this machine: {', '.join(missing)} (make packages)")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With REQUIRE_ALL=1 a skipped test is a failed one: CI must have what the tests need."""
    report = yield
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"REQUIRE_ALL=1 and the test was skipped: {reason}"
    return report
