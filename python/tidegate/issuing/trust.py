# SPDX-License-Identifier: Apache-2.0
"""Has the system and its browsers trust an authority, and no longer trust it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NICKNAME: Final = "tidegate development CA"
"""What browsers call it in their list."""
FILE: Final = "tidegate-development.crt"

SYSTEMS: Final = (
    (Path("/usr/local/share/ca-certificates"), "update-ca-certificates"),
    (Path("/etc/pki/ca-trust/source/anchors"), "update-ca-trust"),
    (Path("/etc/ca-certificates/trust-source/anchors"), "update-ca-trust"),
)
"""Where systems keep authorities that were added, and what makes a change known: Debian, Fedora, Arch."""
_TIMEOUT: Final = 60.0


@dataclass(frozen=True)
class Told:
    """What became of one store.

    Attributes:
        store: `system`, or the folder of a browser's database.
        is_done: Whether it is as was asked.
        says: What was done, or what is missing and how to get it.
    """

    store: str
    is_done: bool
    says: str


def install(authority: Path) -> list[Told]:
    """Has every store that is found trust the certificate in `authority`."""
    return [_system(authority), *_browsers(authority)]


def remove(authority: Path) -> list[Told]:
    """The reverse of `install`; `authority` may be gone."""
    return [_system(None, authority), *_browsers(None)]


def _system(wanted: Path | None, before: Path | None = None) -> Told:
    found = next((each for each in SYSTEMS if each[0].is_dir() and shutil.which(each[1])), None)
    if found is None:
        return Told("system", False, "no known tool; Debian has it in ca-certificates (apt-get install it)")
    folder, tool = found
    path = folder / FILE
    if wanted is None and not path.exists():
        return Told("system", True, "was not trusted")
    command = [tool, "--fresh"] if wanted is None and tool == "update-ca-certificates" else [tool]
    if not os.access(folder, os.W_OK):
        file = wanted or before
        does = f"sudo cp {file} {path}" if wanted is not None else f"sudo rm {path}"
        return Told("system", False, f"needs root's rights: `{does} && sudo {' '.join(command)}`")
    try:
        if wanted is None:
            path.unlink()
        else:
            shutil.copyfile(wanted, path)
            path.chmod(0o644)
        done = _run(command)
    except OSError as error:
        return Told("system", False, str(error))
    if done:
        return Told("system", False, done)
    return Told("system", True, "trusted" if wanted is not None else "no longer trusted")


def _databases() -> Iterator[Path]:
    """Folders of NSS databases (`cert9.db`): Chromium's, and those of the profiles of Firefox."""
    home = Path.home()
    places = [home / ".pki/nssdb", home / "snap/chromium/current/.pki/nssdb"]
    for profiles in (
        home / ".mozilla/firefox",
        home / ".config/mozilla/firefox",
        home / "snap/firefox/common/.mozilla/firefox",
    ):
        places += sorted(profiles.glob("*")) if profiles.is_dir() else []
    yield from (place for place in places if (place / "cert9.db").is_file())


def _browsers(wanted: Path | None) -> Iterator[Told]:
    tool = shutil.which("certutil")
    databases = list(_databases())
    if tool is None:
        if databases or wanted is not None:
            how = "`certutil` is missing: apt-get install libnss3-tools (Fedora: nss-tools), then try again"
            yield Told("browsers", False, how)
        return
    if not databases and wanted is not None:
        # Chromium reads this one, and makes none by itself.
        own = Path.home() / ".pki/nssdb"
        own.mkdir(mode=0o700, parents=True, exist_ok=True)
        said = _run([tool, "-N", "-d", f"sql:{own}", "--empty-password"])
        if said:
            yield Told(str(own), False, said)
            return
        databases = [own]
    for database in databases:
        where = ["-d", f"sql:{database}", "-n", NICKNAME]
        # One of before is in the way of another with the same nickname.
        while not _run([tool, "-D", *where]):
            continue
        if wanted is None:
            yield Told(str(database), True, "no longer trusted")
            continue
        said = _run([tool, "-A", *where, "-t", "C,,", "-i", str(wanted)])
        yield Told(str(database), not said, said or "trusted; a browser that runs has to be started again")


def _run(command: list[str]) -> str:
    """Runs a tool; what it said when it failed, else nothing."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_TIMEOUT, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return f"{command[0]} took over {_TIMEOUT:g} s"
    if done.returncode == 0:
        return ""
    lines = (done.stderr or done.stdout).strip().splitlines()
    return f"{command[0]} failed: {lines[-1] if lines else f'code {done.returncode}'}"
