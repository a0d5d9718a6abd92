# SPDX-License-Identifier: Apache-2.0
"""Who the processes run as when the supervisor was started as root."""

import grp
import os
import pwd
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

DEFAULT_USERS = ("tidegate", "nobody")
WORKER_USER = "tidegate-worker"
_SPARE = range(61184, 65519)
"""User identifiers that belong to no account by convention (systemd's dynamic users)."""


class IdentityError(Exception):
    """A user that does not exist or cannot do the work; the text says what to do."""


@dataclass(frozen=True)
class Identity:
    """A user and group to run as.

    Attributes:
        name: The account's name, or the number of one that has no account.
        groups: Supplementary groups.
    """

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...] = ()

    def assume(self) -> None:
        """Becomes this user for good; to be called in a child as root."""
        os.setgroups(self.groups)
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)

    def variables(self) -> dict[str, str]:
        """What a login as this user sets: programs look for their files by it."""
        try:
            home = pwd.getpwuid(self.uid).pw_dir
        except KeyError:
            home = "/"
        return {"HOME": home, "USER": self.name, "LOGNAME": self.name}


def resolve(name: str | None) -> Identity | None:
    """The user for node and control: `name`, else `tidegate` if there is one, else `nobody`.

    Returns:
        None when nothing is to change: not root, or `name` is `root`.

    Raises:
        IdentityError: There is no such user, or only root may choose one.
    """
    if os.geteuid() != 0:
        if name is not None and name not in (pwd.getpwuid(os.geteuid()).pw_name, str(os.geteuid())):
            raise IdentityError(
                f"only root can run as user {name!r}; leave gateway.user out, or start as root"
            )
        return None
    if name in ("root", "0"):
        return None
    for candidate in (name,) if name is not None else DEFAULT_USERS:
        found = _account(candidate)
        if found is not None:
            return found
    raise IdentityError(
        f"there is no user {name or DEFAULT_USERS[0]!r}; create it with "
        f"`useradd --system --shell /usr/sbin/nologin {name or DEFAULT_USERS[0]}`"
    )


def for_workers(main: Identity | None) -> Identity | None:
    """The user for function workers: never the one that holds connections and configuration.

    `tidegate-worker` if there is one, else `nobody`, else a number without an account.
    """
    if os.geteuid() != 0:
        return None
    for candidate in (WORKER_USER, "nobody"):
        found = _account(candidate)
        if found is not None and (main is None or found.uid != main.uid):
            return Identity(found.name, found.uid, found.gid)
    taken = {entry.pw_uid for entry in pwd.getpwall()} | {entry.gr_gid for entry in grp.getgrall()}
    spare = next(number for number in reversed(_SPARE) if number not in taken)
    return Identity(str(spare), spare, spare)


def check_access(
    identity: Identity, paths: Iterable[Path], hint: str = "choose a user that can: --user or gateway.user"
) -> None:
    """Makes sure that `identity` can run this Python and read `paths`.

    Args:
        identity: Who is to read.
        paths: Files and folders; those that are not there are somebody else's problem.
        hint: What to do beside moving them.

    Raises:
        IdentityError: Naming the first file it cannot read.
    """
    package = Path(__file__).resolve().parents[1]
    wanted = [(Path(sys.executable), os.X_OK), (package / "__init__.py", os.R_OK)]
    wanted += [(path.absolute(), os.R_OK | (os.X_OK if path.is_dir() else 0)) for path in paths]
    refused = _as(identity, [pair for pair in wanted if pair[0].exists()])
    if refused is None:
        return
    raise IdentityError(
        f"user {identity.name!r} cannot read {refused} (started as root, tidegate gives its rights up); "
        f"put it where everybody can read, or {hint}; `--user root` keeps all rights"
    )


def _account(name: str) -> Identity | None:
    try:
        entry = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except KeyError:
        return Identity(name, int(name), int(name)) if name.isdecimal() else None
    groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return Identity(entry.pw_name, entry.pw_uid, entry.pw_gid, groups)


def _as(identity: Identity, wanted: list[tuple[Path, int]]) -> Path | None:
    """The first path that `identity` may not use; asked in a child, since only the kernel knows."""
    child = os.fork()
    if child == 0:
        code = 0
        try:
            identity.assume()
            code = next((at for at, (path, mode) in enumerate(wanted, 1) if not os.access(path, mode)), 0)
        except BaseException:
            code = 255
        os._exit(min(code, 255))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return None
    return wanted[code - 1][0] if 0 < code <= len(wanted) else Path(sys.executable)
