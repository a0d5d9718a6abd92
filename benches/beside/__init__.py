# SPDX-License-Identifier: Apache-2.0
"""An honest client beside whoever means no good: what `benches.slow_clients` and `benches.attacks` share.

The proxy has a core of its own. Honest client and its origin servers are on the other one with the attackers
and the origin servers that these ask; where we may say so (root), the honest ones are real-time processes,
and go before whatever else runs on the machine.
"""

from __future__ import annotations

import contextlib
import math
import os
import statistics
from typing import Any

from benches.proxy import load as load_tool
from benches.proxy.peers.peer import Peer

RATE = 200
"""Honest requests a second."""
WINDOWS = 3
"""Measurements of each kind, of which the median counts: what else runs on the machine may spoil one."""
CORES = (1, 0)
"""Of the proxy, and of everybody else."""
HOST = "bench.example"


def go_first() -> None:
    """Makes this process, and those it starts from now on, real-time ones, where it may."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def go_before() -> None:
    """Makes this process, and those it starts from now on, go before ordinary ones, where it may.

    A proxy at its limit must not be a real-time process: the kernel stops those for a twentieth of each
    second (sched_rt_runtime_us), which would be measured as its own doing.
    """
    step_back()
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -20)


def step_back() -> None:
    """Makes this process an ordinary one again."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.setpriority(os.PRIO_PROCESS, 0, 0)


def honest(peer: Peer, seconds: float, **more: str | float) -> dict[str, str | float]:
    """What the honest client does for so long."""
    return {
        "target": f"127.0.0.1:{peer.port}",
        "host": HOST,
        "path": "/b/128",
        "size": 128,
        "connections": 32,
        "rate": RATE,
        "warm": 1,
        "seconds": seconds,
        **more,
    }


def windows(load: load_tool.Load, values: dict[str, str | float]) -> dict[str, Any]:
    """The honest client's figures over several windows: the medians, and all that went wrong."""
    each = [load.run(lambda phase: None, **values) for _ in range(WINDOWS)]
    points = {
        name: statistics.median(math.inf if one[name] is None else one[name] for one in each)
        for name in ("p50_us", "p99_us")
    }
    return {**points, "errors": sum(map(errors, each)), "windows": each}


def errors(figures: dict[str, Any]) -> int:
    """Requests that went wrong."""
    return int(figures["wrong_status"] + figures["wrong_body"] + figures["broken"])


def limit_us(quiet: dict[str, Any], others: dict[str, Any] | None) -> float:
    """The p99 that is allowed: the better of twice the quiet one and 1.2 times that of `others` attacked."""
    limits = [2 * quiet["p99_us"]]
    if others is not None:
        limits.append(1.2 * others["p99_us"])
    return float(min(limits))
