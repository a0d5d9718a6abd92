# SPDX-License-Identifier: Apache-2.0
"""How many cores there are to use."""

from __future__ import annotations

import os
from pathlib import Path as FilePath


def usable_cores() -> int:
    """Cores this process may use: its affinity, and its cgroup's share rounded up."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, _, period = FilePath("/sys/fs/cgroup/cpu.max").read_text().strip().partition(" ")
        if quota != "max":
            cores = min(cores, max(1, -(-int(quota) // int(period))))
    except (OSError, ValueError):
        pass
    return cores
