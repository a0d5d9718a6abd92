# SPDX-License-Identifier: Apache-2.0
"""Runs the cases: rounds interleaved over the proxies, so that a slow minute of the machine hits them all."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import Any

from benches.proxy.cases import CHANGES, FEW_CONNECTIONS, IDLE_CONNECTIONS, SMALL, Case
from benches.proxy.changing import Changing
from benches.proxy.load import Load
from benches.proxy.machine import Sample, resident_bytes
from benches.proxy.peers import Peer


@dataclass
class Clockwork:
    """How long and how often.

    Turns are short and many: on a shared machine the same work takes 10 to 20 % longer for minutes at a
    time, and only turns close to each other meet the same minute.
    """

    rounds: int = 20
    """Of a case whose `share` is 1."""
    warm: float = 0.3
    seconds: float = 1.5
    rate_seconds: float = 3.0
    rate_every: int = 5
    """Each so many rounds latencies are measured as well."""

    def rounds_of(self, case: Case) -> int:
        """Rounds that a case gets."""
        return max(1, round(self.rounds * case.share))


@dataclass
class Series:
    """What one proxy did in one case: one entry a round in each list."""

    cpu_us: list[float] = field(default_factory=list)
    """CPU of all its processes per request, microseconds."""
    core_us: list[float] = field(default_factory=list)
    """Time its core was busy per request, microseconds: with what the kernel did in its own threads."""
    busy: list[float] = field(default_factory=list)
    """Share of the window that its core was busy, 0 to 1."""
    load_busy: list[float] = field(default_factory=list)
    """The same of the load tool's core: near 1 the load tool was the bottleneck, not the proxy."""
    stolen: list[float] = field(default_factory=list)
    """Share of the window that the hypervisor took from the proxy's core."""
    throughput: list[float] = field(default_factory=list)
    """Answers a second, as many as it could."""
    rate: int = 0
    """Requests a second of the latency runs."""
    p50_us: list[float] = field(default_factory=list)
    p99_us: list[float] = field(default_factory=list)
    fixed_cpu_us: list[float] = field(default_factory=list)
    """CPU per request at the fixed rate."""
    errors: int = 0
    """Wrong or missing answers, warm-up included, and what else went wrong beside the load."""
    wrong: dict[str, int] = field(default_factory=dict)
    """Of the answers, how many for each reason."""
    again: int = 0
    """Requests sent anew because their connection was closed under them; their answers count."""
    resumed: int = 0
    """Answers on connections of their own that went on with a session of TLS of before."""
    changes: list[float] = field(default_factory=list)
    """Changes of the endpoints a second, where they change."""
    answered: int = 0
    log_lines_lost: int = 0
    """Answers without a line in the access log."""

    def saturate(
        self, case: Case, result: dict[str, Any], samples: list[Sample], others: list[Sample]
    ) -> None:
        """Adds one closed-loop run."""
        done = result["answered"]
        if case.is_by_bytes:
            done = result["moved"] / (case.size + case.sent)
        count = max(done, 1e-3)
        begin, end = samples
        window = end.at - begin.at
        self.cpu_us.append((end.process - begin.process) / count * 1e6)
        self.core_us.append((end.core - begin.core) / count * 1e6)
        self.busy.append((end.core - begin.core) / window)
        self.load_busy.append((others[1].core - others[0].core) / window)
        self.stolen.append((end.stolen - begin.stolen) / window)
        self.throughput.append(done / result["seconds"])
        self._count(result)

    def at_rate(self, result: dict[str, Any], samples: list[Sample]) -> None:
        """Adds one run at the fixed rate."""
        begin, end = samples
        self.fixed_cpu_us.append((end.process - begin.process) / max(result["answered"], 1) * 1e6)
        if result["answered"]:
            self.p50_us.append(result["p50_us"])
            self.p99_us.append(result["p99_us"])
        self._count(result)

    def _count(self, result: dict[str, Any]) -> None:
        for kind in ("wrong_status", "wrong_body", "broken"):
            self.errors += result[kind]
            if result[kind]:
                self.wrong[kind] = self.wrong.get(kind, 0) + result[kind]
        self.again += result["again"]
        self.resumed += result["resumed"]
        self.answered += result["answered"]


def measure(
    load: Load, peer: Peer, cores: tuple[int, int], case: Case, series: Series, **values: str | float
) -> tuple[dict[str, Any], list[Sample], list[Sample]]:
    """One run: the load tool's figures, and the counters of the proxy's and of the load tool's core.

    What goes wrong beside the load is counted in `series`: idle connections that the proxy closed, changes
    that it refused, an endpoint that was added and took nothing.
    """
    pids = peer.pids()
    own: list[Sample] = []
    others: list[Sample] = []

    def moment(_: str) -> None:
        # A reload starts processes; those that have ended count with their parent.
        own.append(Sample.take(peer.pids() if case.churn else pids, cores[0]))
        others.append(Sample.take([load.pid], cores[1]))

    target = f"127.0.0.1:{peer.port}"
    if case.tls:
        values = {"tls": str(load.certificate.authority), **values}
    if case.beside:
        opened = load.idle(target=target, connections=case.beside, path=case.first_path("r0"), size=1)
        series.errors += opened["errors"]
    changing = Changing(peer.change, 1 / CHANGES) if case.churn else None
    try:
        result = load.run(moment, target=target, **{**case.values(), **values})
    finally:
        if changing:
            changing.stop()
    if changing:
        series.changes.append(changing.done / changing.seconds)
        series.errors += changing.refused + (result["origins"][2] == 0)
    if case.beside:
        series.errors += case.beside - load.drop()
    return result, own, others


def run_case(
    load: Load, peers: list[Peer], case: Case, clock: Clockwork, cores: tuple[int, int], failed: list[str]
) -> dict[str, Series]:
    """All rounds of one case; every proxy that can do it runs throughout, idle while it is another's turn.

    One that does not start for it is added to `failed` and left out.
    """
    peers = [peer for peer in peers if peer.takes(case)]
    series = {peer.name: Series() for peer in peers}
    lines_before = load.lines()
    started: list[Peer] = []
    try:
        for peer in list(peers):
            try:
                peer.start(case)
            except RuntimeError as error:
                print(f"bench: {case.name}: {error}", file=sys.stderr)
                peers.remove(peer)
                del series[peer.name]
                failed.append(f"{peer.name} in {case.title}")
                continue
            started.append(peer)
        if not peers:
            return series
        for number in range(clock.rounds_of(case)):
            # The order turns each round: whoever follows a slow proxy must not always be the same.
            for peer in peers[number % len(peers) :] + peers[: number % len(peers)]:
                own = series[peer.name]
                seconds = clock.seconds * case.longer
                found = measure(load, peer, cores, case, own, warm=clock.warm, seconds=seconds, rate=0)
                own.saturate(case, *found)
            if number % clock.rate_every:
                continue
            for peer in peers:
                own = series[peer.name]
                own.rate = case.slow_rate if peer.is_slow else case.rate
                seconds = clock.rate_seconds
                result, samples, _ = measure(
                    load, peer, cores, case, own, warm=0.5, seconds=seconds, rate=own.rate
                )
                own.at_rate(result, samples)
    finally:
        for peer in started:
            peer.stop()
    for peer in peers:
        # HAProxy's lines come over one connection from all its cases; the others' files are new in each.
        if not case.is_logged:
            continue
        lines = peer.log_lines() - (lines_before if peer.name == "haproxy" else 0)
        series[peer.name].log_lines_lost = max(0, series[peer.name].answered - lines)
    return series


def run_idle(
    load: Load, peers: list[Peer], connections: int = IDLE_CONNECTIONS
) -> dict[str, dict[str, float]]:
    """Memory of each proxy with idle keep-alive connections that have each had one answer, and without."""
    found = {}
    for peer in peers:
        try:
            peer.start(SMALL, FEW_CONNECTIONS)
            without = warmed_up(load, peer)
            peer.stop()
            peer.start(SMALL)
            before = warmed_up(load, peer)
            opened = load.idle(target=f"127.0.0.1:{peer.port}", connections=connections)
            with_idle = settled(peer)
            kept = load.drop()
        finally:
            peer.stop()
        count = max(opened["idle"], 1)
        found[peer.name] = {
            "connections": opened["idle"],
            "kept": kept,
            "errors": opened["errors"],
            "resident_without": without,
            "resident_before": before,
            "resident_with": with_idle,
            "bytes_per_connection": (with_idle - without) / count,
            "bytes_on_arrival": (with_idle - before) / count,
        }
    return found


def warmed_up(load: Load, peer: Peer) -> int:
    """Resident memory once pools, caches and the allocator's arenas have reached their working size."""
    load.run(lambda _: None, target=f"127.0.0.1:{peer.port}", connections=64, warm=0, seconds=2)
    return settled(peer)


def settled(peer: Peer) -> int:
    """Resident memory once two readings a second apart agree within 0.5 %, or after eight."""
    last = resident_bytes(peer.pids())
    for _ in range(8):
        time.sleep(1)
        now = resident_bytes(peer.pids())
        if abs(now - last) <= last * 0.005:
            return now
        last = now
    return last
