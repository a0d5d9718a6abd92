# SPDX-License-Identifier: Apache-2.0
"""One route changed among 10,000: what the node takes, and how long until it is served.

    python -m benches.reload [--routes N] [--rounds N] [--development] [--json FILE]

Two figures. The node's own: from a delta read until the last thread has the new snapshot, as it answers to
control (`build_us`, `swap_us`), for changes of one route's answer, one route's match, and one endpoint. And
save to served: from the rename of the file under `tidegate run --watch` until a request, asked again and
again on one connection, gets the new answer. The budgets are 50 ms and 2 s (docs/internals/benchmark.md).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Builds the engine, then measures with it in another process."""
    parser = argparse.ArgumentParser(prog="python -m benches.reload", description="reload among many routes")
    parser.add_argument("--routes", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--development", action="store_true", help="the engine of the checkout as it is")
    parser.add_argument("--package", type=Path, help="a folder to import tidegate from, already built")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        from .measure import measure

        figures = measure(options.routes, options.rounds)
        text = json.dumps(figures, indent=1)
        if options.json:
            options.json.write_text(text + "\n")
        print(text)
        return 0
    if options.development:
        package = ROOT / "python"
    elif options.package:
        package = options.package.resolve()
    else:
        from benches.proxy.engine import staged

        package = staged()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(package), str(ROOT)])}
    command = [sys.executable, "-P", "-m", "benches.reload", *sys.argv[1:], "--measure"]
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
