# SPDX-License-Identifier: Apache-2.0
"""An honest client beside floods and attacks on TLS, at tidegate, nginx and HAProxy.

    python -m benches.attacks [--only NAME]... [--peer NAME]... [--seconds S] [--package FOLDER]
                              [--json FILE] [--write]

For each proxy, on a core of its own: 200 honest requests a second inside of TLS with nobody else there, over
HTTP/1.1, 2 and 3; then the same under each attack (`attacks.py`), in the version that it is in.
The attacker (`benches/load/src/attack`) plays prepared bytes as fast as it can on the other core, behind the
honest client and its origin servers, and comes back at once when it is cut. Limits are each proxy's own, but
for how many connections there may be; the files are beside this one.

Prints a table. `--write` keeps figures and table: benches/results/attacks.json, attacks.md, and
docs/internals/attacks.md between its marks. The exit status is 1 if at tidegate an honest request failed,
the attack cost more memory than it may, or the p99 is above the better of twice its own without the attack
and 1.2 times that of nginx under the same.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benches.beside import CORES, go_before, go_first, honest, peers, step_back, windows
from benches.proxy import engine, machine
from benches.proxy import load as load_tool
from benches.proxy.cases import Case
from benches.proxy.peers.peer import Peer

from . import page
from .attacker import Attacker
from .attacks import ATTACKS, Attack

FOLDER = Path(__file__).parent
SERVED = Case("attacked", "", tls=True)
CONNECTIONS = 20_000
"""That a proxy may have open: each has the descriptors for it, and what its endpoints need."""
RAMP = 1.5
"""Seconds that an attack has before the honest client is measured."""
KINDS = {kind.name: kind for kind in (peers.Tidegate, peers.Nginx, peers.Haproxy)}


class Watch:
    """A proxy's memory and CPU time while something goes on."""

    def __init__(self, peer: Peer) -> None:
        self._pids = peer.pids()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.most = 0
        """Bytes at most."""
        self.cpu = 0.0
        """Share of the time that a core was busy with it."""

    def __enter__(self) -> Self:
        self._begun, self._cpu = time.monotonic(), machine.cpu_seconds(self._pids)
        self._thread.start()
        return self

    def _look(self) -> None:
        while not self._done.wait(0.25):
            self.most = max(self.most, machine.resident_bytes(self._pids))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        self.most = max(self.most, machine.resident_bytes(self._pids))
        self.cpu = (machine.cpu_seconds(self._pids) - self._cpu) / (time.monotonic() - self._begun)


def asked(peer: Peer, load: load_tool.Load, version: str, seconds: float) -> dict[str, str | float]:
    """What the honest client does."""
    shared = {} if version == "h1" else {"connections": 8, "streams": 4, "http3": int(version == "h3")}
    return honest(peer, seconds, tls=str(load.certificate.authority), warm=0.5, **shared)


def quiet(peer: Peer, load: load_tool.Load, seconds: float) -> dict[str, Any]:
    """The honest client's figures without an attack, by version."""
    peer.start(SERVED)
    try:
        spoken = ("h1", "h2", "h3") if peer.name == "tidegate" else ("h1", "h2")
        return {version: windows(load, asked(peer, load, version, seconds)) for version in spoken}
    finally:
        peer.stop()


def attacked(
    peer: Peer, attack: Attack, program: Path, load: load_tool.Load, seconds: float
) -> dict[str, Any]:
    """The honest client's figures under an attack, what that cost the proxy, and what became of it."""
    peer.start(SERVED)
    try:
        values = asked(peer, load, attack.version, seconds)
        # So much that memory which every load takes is taken.
        load.run(lambda phase: None, **{**values, "seconds": 1})
        before = machine.resident_bytes(peer.pids())
        pids = peer.pids()
        target = f"127.0.0.1:{peer.port}"
        with Attacker(program, attack, target, load.certificate.authority) as attacker, Watch(peer) as watch:
            time.sleep(RAMP)
            begun, first = time.monotonic(), attacker.told()
            under = windows(load, values)
            last = attacker.told()
            length = time.monotonic() - begun
        return {
            "under": under,
            "memory": watch.most - before,
            "cpu": watch.cpu,
            "alive": set(pids) <= set(peer.pids()),
            "attacker": last,
            "seconds": length,
            "rates": {name: (last[name] - first[name]) / length for name in page.RATES},
        }
    finally:
        peer.stop()


@contextmanager
def sink() -> Iterator[str]:
    """The origin server of WebSockets; its address."""
    command = [sys.executable, "-m", "benches.attacks.sink"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=step_back
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measures all that was asked for; prints a line of the table for each."""
    package = options.package.resolve() if options.package else None
    descriptors = machine.raise_descriptors(CONNECTIONS)
    program = load_tool.build()
    if package is None and "tidegate" in options.peer:
        engine.staged()

    os.sched_setaffinity(0, {CORES[1]})
    slow = load_tool.Load(program, CORES[1])
    results: dict[str, Any] = {
        "machine": machine.describe(),
        "commit": machine.commit(),
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "seconds": options.seconds,
        "descriptors": descriptors,
        "versions": {},
        "quiet": {},
        "attacks": {},
        "failed": [],
    }
    with tempfile.TemporaryDirectory() as folder, sink() as sockets:
        go_first()
        load = load_tool.Load(program, CORES[1])
        go_before()
        files = Path(folder) / "files" / "b"
        files.mkdir(parents=True)
        (files / "65536").write_bytes(bytes(65_536))
        words = {
            "slow_1": slow.origins[0],
            "slow_2": slow.origins[1],
            "sockets": sockets,
            "files": files.parent,
            "chain": load.certificate.chain,
            "key": load.certificate.key,
            "both": load.certificate.both,
            "sink": load.sink,
            # Two descriptors for each.
            "connections": descriptors // 2 - 400,
        }
        try:
            found = [
                KINDS[name](Path(folder), CORES[0], load, FOLDER, package, **words) for name in options.peer
            ]
            here = [peer for peer in found if peer.is_here()]
            results["versions"] = {peer.name: peer.version() for peer in here}
            for peer in here:
                print(f"quiet: {peer.name}", file=sys.stderr, flush=True)
                results["quiet"][peer.name] = quiet(peer, load, options.seconds)
            print("\n".join(page.HEAD), flush=True)
            for attack in ATTACKS:
                if options.only and attack.name not in options.only:
                    continue
                figures = results["attacks"][attack.name] = {}
                for peer in here:
                    if peer.name in attack.absent:
                        continue
                    try:
                        figures[peer.name] = attacked(peer, attack, program, load, options.seconds)
                    except (RuntimeError, OSError, load_tool.LoadError) as error:
                        # What was measured of the others is worth something.
                        results["failed"].append(f"{attack.name}: {peer.name}: {error}")
                        print(results["failed"][-1], file=sys.stderr, flush=True)
                print("\n".join(page.rows(results, attack)), flush=True)
        finally:
            load.close()
            slow.close()
    return results


def main() -> int:
    """Measures, prints and keeps."""
    parser = argparse.ArgumentParser(prog="python -m benches.attacks", description=__doc__)
    names = [attack.name for attack in ATTACKS]
    parser.add_argument("--only", action="append", choices=names, help="only these attacks")
    parser.add_argument("--peer", action="append", choices=list(KINDS), help="only these proxies")
    parser.add_argument("--seconds", type=float, default=3, help="of each of three windows (default 3)")
    parser.add_argument("--package", type=Path, help="a folder to import tidegate from, already built")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--write", action="store_true", help="keep figures and table of a whole run")
    options = parser.parse_args()
    options.peer = options.peer or list(KINDS)
    results = run(options)
    # A client that was never answered has an infinite p99, which JSON has no word for.
    text = json.dumps(results, indent=1).replace("Infinity", "null") + "\n"
    if options.json:
        options.json.write_text(text)
    if options.write:
        page.keep(results, text)
    missed = [name for name in results["attacks"] if page.wrong(results, page.named(name))]
    if missed:
        print(f"missed: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed or results["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
