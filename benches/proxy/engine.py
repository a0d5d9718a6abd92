# SPDX-License-Identifier: Apache-2.0
"""tidegate built for measuring: the release profile, beside a copy of the Python sources."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def version() -> str:
    """The version in Cargo.toml."""
    return str(tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"])


@functools.cache
def staged() -> Path:
    """A folder to import tidegate from, with the engine in the release profile; built on first use.

    The development engine stays where it is, so that measuring and testing do not rebuild each other's.
    """
    command = [
        "cargo",
        "build",
        "--release",
        "-p",
        "tidegate-python",
        "--message-format=json-render-diagnostics",
    ]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    library = None
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and "cdylib" in message["target"]["crate_types"]:
            library = Path(next(name for name in message["filenames"] if name.endswith((".so", ".dylib"))))
    if library is None:
        raise RuntimeError("cargo built no engine")
    folder = library.parent / "bench-package"
    shutil.rmtree(folder, ignore_errors=True)
    left_out = shutil.ignore_patterns("__pycache__", "*.so", "test_*.py")
    shutil.copytree(ROOT / "python" / "tidegate", folder / "tidegate", ignore=left_out)
    shutil.copy2(library, folder / "tidegate" / "_engine.abi3.so")
    # As pip leaves it; else every start compiles the sources wherever Python is told to write no bytecode.
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(folder)], check=True, env=environment())
    return folder


def environment() -> dict[str, str]:
    """Ours, without what would put bytecode elsewhere."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPYCACHEPREFIX"}
