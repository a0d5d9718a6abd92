# SPDX-License-Identifier: Apache-2.0
"""The wheel, installed as a user would: an empty environment, no compiler, outside the checkout.

One wheel is for every Python from 3.11 on, so it is tried with each of them that this machine has.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"


def find(version: str) -> str | None:
    """A Python of that version which can make environments: this one, one on PATH, or one of pyenv's."""
    name = f"python{version}"
    candidates = [Path(sys.executable)] if version == RUNNING else []
    candidates += [Path(folder) / name for folder in os.get_exec_path()]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates += sorted(pyenv.glob(f"versions/{version}*/bin/{name}"))
    ask = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
    for candidate in candidates:
        if not os.access(candidate, os.X_OK):
            continue
        # One on PATH may be a stand-in that asks for a version to be chosen, and fails.
        said = subprocess.run([str(candidate), "-c", ask], capture_output=True, text=True, check=False)
        if said.stdout.strip() == version:
            return str(candidate)
    return None


VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
CONFIGURATION = """
listeners:
  web: { address: 127.0.0.1, port: 8080 }
routes:
  - { path: /app1, to: "http://127.0.0.1:8081", rewrite: { prefix: / } }
"""

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
"""What we promise. A machine may lack all but the first."""
FOUND = {version: find(version) for version in VERSIONS}


def each_python() -> list[Any]:
    """A parameter for each version: skipped where there is none, left out where no skip is allowed."""
    is_needed = {VERSIONS[0], RUNNING}
    return [
        pytest.param(
            FOUND[version],
            id=version,
            marks=pytest.mark.skipif(FOUND[version] is None, reason=f"there is no python{version}"),
        )
        for version in VERSIONS
        if FOUND[version] or version in is_needed or os.environ.get("REQUIRE_ALL") != "1"
    ]


pytestmark = pytest.mark.timeout(900)
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, in the development profile: cargo reuses what the tests' own engine was built from."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, str(ROOT / "tools" / "wheel.py"), "--profile", "dev", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module", params=each_python())
def installed(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs the installed `tidegate` in an empty folder, with nothing on PATH but its environment."""
    folder = tmp_path_factory.mktemp("user")
    environment = folder / "environment"
    subprocess.run([request.param, "-m", "venv", str(environment)], check=True, timeout=300)
    # Only the environment's own programs: whatever asks for a compiler fails here.
    variables = {"PATH": str(environment / "bin"), "HOME": str(folder), "LANG": "C.UTF-8"}
    kept = ("SSL_CERT_FILE", "XDG_RUNTIME_DIR")
    variables |= {
        name: value for name, value in os.environ.items() if name.startswith("PIP_") or name in kept
    }
    variables["TIDEGATE_RUNTIME_DIR"] = str(folder / "run")
    # Root's would be the machine's own.
    variables["TIDEGATE_DEV_CERT_DIR"] = str(folder / "development")
    # As of a user who has our lock file, so that a new release elsewhere does not break an old commit's test.
    constraints = folder / "constraints.txt"
    lock = (ROOT / "requirements" / "runtime.txt").read_text()
    constraints.write_text(re.sub(r"\s*\\\n\s*--hash=\S+", "", lock))
    install = [
        str(environment / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "-q",
        "-c",
        str(constraints),
        str(wheel),
    ]
    done = subprocess.run(install, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

    def run(*arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        command = [str(environment / "bin" / "tidegate"), *arguments]
        return subprocess.run(
            command, cwd=folder, env=variables, capture_output=True, text=True, check=False, timeout=timeout
        )

    return run


def test_the_wheel_holds_the_package_and_no_tests(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    assert "tidegate/_engine.abi3.so" in names
    assert "tidegate/py.typed" in names
    assert "tidegate/_engine.pyi" in names
    assert [name for name in names if name.startswith("tidegate/demo/_files/shop/")]
    assert [name for name in names if name.startswith("tidegate/demo/_files/topologies/")]
    assert not [name for name in names if Path(name).name.startswith(("test_", "conftest"))]
    assert f"-cp311-abi3-{'macosx' if sys.platform == 'darwin' else 'manylinux'}" in wheel.name


def test_version_is_that_of_the_workspace(installed: Run):
    done = installed("version")
    assert done.returncode == 0, done.stderr
    assert VERSION in done.stdout


def test_check_accepts_a_good_file_and_refuses_a_bad_one(installed: Run, tmp_path: Path):
    good = tmp_path / "good.yaml"
    good.write_text(CONFIGURATION)
    done = installed("check", str(good))
    assert done.returncode == 0, done.stdout + done.stderr
    bad = tmp_path / "bad.yaml"
    bad.write_text(CONFIGURATION.replace("port:", "prot:"))
    done = installed("check", str(bad))
    assert done.returncode != 0
    assert "bad.yaml:3:" in done.stdout + done.stderr


def test_the_demo_and_its_tour_run_from_the_wheel(installed: Run):
    done = installed("demo", "--tour", "--port", "0", timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
