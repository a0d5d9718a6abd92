# SPDX-License-Identifier: Apache-2.0
"""Runs the fuzz targets by cargo-fuzz, each for a while: `fuzz.py [--seconds N] [TARGET...]`.

Wants a nightly compiler and cargo-fuzz; without them it says how to get them and ends with 2. `cargo test`
runs the same targets for a moment on any compiler.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FUZZ = ROOT / "fuzz"


def missing() -> list[str]:
    """What cargo-fuzz wants and this machine has not, each with how to get it."""
    lines = []
    listed = ""
    if shutil.which("rustup") is not None:
        listed = subprocess.run(
            ["rustup", "toolchain", "list"], capture_output=True, text=True, check=False
        ).stdout
    if "nightly" not in listed:
        lines.append("a nightly compiler: rustup toolchain install nightly --profile minimal")
    if shutil.which("cargo-fuzz") is None:
        lines.append("cargo-fuzz: cargo install --locked cargo-fuzz")
    return lines


def run(target: str, seconds: int) -> int:
    """One target: new inputs go to fuzz/corpus, what breaks it to fuzz/artifacts."""
    corpus = FUZZ / "corpus" / target
    corpus.mkdir(parents=True, exist_ok=True)
    command = ["cargo", "+nightly", "fuzz", "run", target, str(corpus), str(FUZZ / "seeds" / target), "--"]
    limits = [f"-max_total_time={seconds}", "-timeout=5", "-rss_limit_mb=2048", "-max_len=4096"]
    quiet = ["-print_final_stats=1", "-verbosity=0"]
    return subprocess.run([*command, *limits, *quiet], cwd=ROOT, check=False).returncode


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", help="all without any")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    options = parser.parse_args()
    if lines := missing():
        print("fuzz: missing on this machine:", *(f"- {line}" for line in lines), sep="\n", file=sys.stderr)
        return 2
    known = sorted(path.stem for path in (FUZZ / "fuzz_targets").glob("*.rs"))
    if unknown := set(options.targets) - set(known):
        print(f"fuzz: no such target: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
        return 2
    failed = [target for target in options.targets or known if run(target, options.seconds) != 0]
    for target in failed:
        print(f"fuzz: {target} failed; its input is in fuzz/artifacts/{target}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
