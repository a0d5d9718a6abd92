# SPDX-License-Identifier: Apache-2.0
"""Builds the wheel, with the shop and its topologies inside.

`wheel.py [--profile dev] [--out DIRECTORY]`; prints the wheel's path on its last line. The files that
`tidegate demo` runs are kept under examples/ and copied into the package only while the wheel is built: a
checkout runs them where they are, and no second copy can go stale.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = ROOT / "python" / "tidegate" / "demo" / "_files"
EXAMPLES = ("shop", "topologies")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "test_*.py", "*.db", ".venv")


def build(profile: str, out: Path) -> Path:
    """Builds one wheel into `out` and returns its path; raises CalledProcessError when the build fails."""
    for name in EXAMPLES:
        if (ROOT / "examples" / name).is_dir():
            shutil.copytree(ROOT / "examples" / name, FILES / name, ignore=LEFT_OUT, dirs_exist_ok=True)
    try:
        maturin = [str(Path(sys.executable).parent / "maturin"), "build", "--locked", "--profile", profile]
        subprocess.run([*maturin, "--out", str(out)], cwd=ROOT, check=True)
    finally:
        shutil.rmtree(FILES, ignore_errors=True)
    return max(out.glob("tidegate-*.whl"), key=lambda path: path.stat().st_mtime_ns)


def main() -> None:
    """Reads the arguments and builds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="release", help="cargo profile: release or dev")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    arguments = parser.parse_args()
    try:
        wheel = build(arguments.profile, arguments.out)
    except subprocess.CalledProcessError as error:
        raise SystemExit(error.returncode) from None
    print(wheel)


if __name__ == "__main__":
    main()
