# SPDX-License-Identifier: Apache-2.0
"""Instances: their names, their runtime directories, and which of them run.

A runtime directory holds `supervisor.lock`, `node.sock`, `control.sock`, `snapshot.json` (the node's
last good snapshot), `secrets-NUMBER.json` (what its secrets stand for), `zones.json` (zones
that are drained), `affinity.key` (the instance's own key for cookies), `state.json` (the supervisor's
children) and the sockets of function workers. Under root it belongs to root and is sticky: the
unprivileged user may add files and cannot replace ours.
"""

import hashlib
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tidegate.protocol.sockets import is_answered

VARIABLE = "TIDEGATE_RUNTIME_DIR"
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
_ORDINARY = {"tidegate", "gateway", "config", "main", "index"}


class InstanceError(Exception):
    """A name or runtime directory that cannot be used; the text says what to do."""


class NotRunning(Exception):
    """No such instance runs, or it is not clear which one is meant."""


@dataclass(frozen=True)
class Instance:
    """One gateway of this machine."""

    name: str
    directory: Path

    @property
    def node_socket(self) -> Path:
        """Where the node answers."""
        return self.directory / "node.sock"

    @property
    def control_socket(self) -> Path:
        """Where control answers."""
        return self.directory / "control.sock"

    @property
    def supervisor_socket(self) -> Path:
        """Where the supervisor answers, to the user that started it."""
        return self.directory / "supervisor.sock"

    def workers_folder(self, generation: int) -> Path:
        """Holds `workers/` with the sockets of function workers; each upgrade has its own."""
        return self.directory / str(generation) if generation else self.directory

    @property
    def lock_file(self) -> Path:
        """Held locked by the supervisor; its text is the supervisor's process identifier."""
        return self.directory / "supervisor.lock"

    @property
    def state_file(self) -> Path:
        """What the next supervisor needs to know."""
        return self.directory / "state.json"

    @property
    def snapshot_file(self) -> Path:
        """The node's last good snapshot."""
        return self.directory / "snapshot.json"

    def secret_files(self) -> list[Path]:
        """What the secrets of the snapshot stand for: one file, or none."""
        return sorted(self.directory.glob("secrets-*.json*"))

    def is_running(self) -> bool:
        """Whether the node or control answers."""
        return is_answered(self.node_socket) or is_answered(self.control_socket)


def default_name(sources: Sequence[str]) -> str:
    """Names an instance after its files, or its `module:object`.

    The same files give the same name, whatever the current directory; equal file names in different
    directories give different ones.
    """
    first = sources[0]
    is_object = ":" in first and not Path(first).exists()
    if is_object:
        stem = first.partition(":")[0].rpartition(".")[2]
        identity = "\n".join([os.getcwd(), *sources])
    else:
        paths = [Path(source).resolve() for source in sources]
        stem = paths[0].stem if paths[0].stem not in _ORDINARY else paths[0].parent.name
        identity = "\n".join(map(str, paths))
    slug = re.sub(r"[^a-z0-9_-]+", "-", stem.lower()).strip("-_")[:40] or "gateway"
    return f"{slug}-{hashlib.sha256(identity.encode()).hexdigest()[:6]}"


def check_name(name: str) -> str:
    """Returns `name` if an instance may be called so.

    Raises:
        InstanceError: It may not.
    """
    if not _NAME.fullmatch(name):
        raise InstanceError(
            f"the instance name {name!r} must be lower-case letters, digits, '-', '_' and '.', at most 63"
        )
    return name


def base_directory() -> Path:
    """Where this user's instances live."""
    if VARIABLE in os.environ:
        return Path(os.environ[VARIABLE]).absolute()
    if os.geteuid() == 0:
        return Path("/run/tidegate")
    if os.environ.get("XDG_RUNTIME_DIR"):
        return Path(os.environ["XDG_RUNTIME_DIR"]) / "tidegate"
    return Path(f"/tmp/tidegate-{os.geteuid()}")


def instance(name: str, base: Path | None = None) -> Instance:
    """The instance of that name, running or not.

    Raises:
        InstanceError: Nothing can be called so.
    """
    return Instance(check_name(name), (base or base_directory()) / name)


def prepare(which: Instance, owner_group: int | None = None) -> None:
    """Creates the runtime directory, or checks one that is there.

    Args:
        which: Whose.
        owner_group: Under root, the group of the user that the node runs as: it may add files.

    Raises:
        InstanceError: The directory cannot be made or belongs to somebody else.
    """
    try:
        _make(which.directory.parent, 0o755 if os.geteuid() == 0 else 0o700)
        _make(which.directory, 0o700)
        if owner_group is not None:
            os.chown(which.directory, 0, owner_group)
            # Sticky: who may write here may not replace what root wrote.
            os.chmod(which.directory, 0o1770)
    except OSError as error:
        raise InstanceError(
            f"the runtime directory {which.directory} cannot be made: {error.strerror}; "
            f"choose another with --runtime-directory or {VARIABLE}"
        ) from error


def _make(directory: Path, mode: int) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.mkdir(directory, mode)
        # Whatever the umask: the node's user has to get through.
        os.chmod(directory, mode)
    except FileExistsError:
        found = os.lstat(directory)
        # Another user could otherwise put sockets and state in front of us, in /tmp above all.
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), 0):
            raise InstanceError(
                f"{directory} is not a directory of yours; remove it, or choose another with {VARIABLE}"
            ) from None


def running(base: Path | None = None) -> list[Instance]:
    """The instances that answer, by name."""
    found = []
    for directory in _bases(base):
        try:
            names = sorted(entry.name for entry in os.scandir(directory) if entry.is_dir())
        except OSError:
            continue
        found += [Instance(name, directory / name) for name in names]
    return [candidate for candidate in found if candidate.is_running()]


def find(name: str | None, base: Path | None = None) -> Instance:
    """The running instance that is meant: by its name, a beginning of it, or as the only one.

    Raises:
        NotRunning: None runs, or several fit; the text lists them.
    """
    candidates = running(base)
    names = ", ".join(candidate.name for candidate in candidates)
    if name is None:
        if len(candidates) == 1:
            return candidates[0]
        if not candidates:
            raise NotRunning("no instance is running; start one with `tidegate run FILE`")
        raise NotRunning(f"several instances are running: {names}; choose one with --name")
    exact = [candidate for candidate in candidates if candidate.name == name]
    fitting = exact or [candidate for candidate in candidates if candidate.name.startswith(name)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        several = ", ".join(candidate.name for candidate in fitting)
        raise NotRunning(f"{name!r} fits several instances: {several}; write more of the name")
    raise NotRunning(
        f"no instance {name!r} is running" + (f"; running: {names}" if names else "; none is running")
    )


def _bases(base: Path | None) -> list[Path]:
    if base is not None:
        return [base]
    own = base_directory()
    shared = Path("/run/tidegate")
    return [own] if VARIABLE in os.environ or own == shared else [own, shared]
