# SPDX-License-Identifier: Apache-2.0
"""Keeps what was measured: benches/results/NAME.json with the data, NAME.md with the table made from it."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benches.proxy import machine

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benches" / "results"


def measured(module: str, package: Path) -> dict[str, Any]:
    """What `module` prints as JSON, run with the rest of the command line and tidegate from `package`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(package), str(ROOT)])}
    command = [sys.executable, "-P", "-m", module, *sys.argv[1:]]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def keep(
    module: str, title: str, figures: dict[str, Any], table: Callable[[dict[str, Any]], list[str]]
) -> None:
    """Prints the table and writes both files."""
    kind = machine.describe()
    data = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": machine.commit(),
        "machine": kind,
        "figures": figures,
    }
    rows = table(figures)
    lines = [
        f"# {title}",
        "",
        f"{data['date']}, commit {data['commit']}, {kind['cpu']}, {kind['cores']} cores, {kind['kernel']}, "
        f"Python {kind['python']}. Made by `{' '.join(['python', '-m', module, *sys.argv[1:]])}` from the "
        "data file beside this page.",
        "",
        *rows,
        "",
    ]
    print("\n".join(rows))
    RESULTS.mkdir(exist_ok=True)
    name = module.rpartition(".")[2]
    (RESULTS / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n")
    (RESULTS / f"{name}.md").write_text("\n".join(lines))
