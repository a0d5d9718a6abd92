# SPDX-License-Identifier: Apache-2.0
"""From options to a running supervisor: user, runtime directory, lock."""

import contextlib
import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tidegate import runtime
from tidegate.events import Events, Form, fail
from tidegate.runtime import Instance, InstanceError
from tidegate.supervisor import identity as identities
from tidegate.supervisor.identity import Identity, IdentityError
from tidegate.supervisor.node import AdoptionError
from tidegate.supervisor.notify import Notifier
from tidegate.supervisor.processes import raise_descriptor_limit, reserve_descriptors
from tidegate.supervisor.succession import Handed
from tidegate.supervisor.supervisor import Supervisor


@dataclass(frozen=True)
class Options:
    """What `tidegate run` was told.

    Attributes:
        sources: Files, or one `module:object`.
        name: The instance; None for one made from the sources.
        watch: Whether changes of the files are applied by themselves.
        threads: Threads of the node; None for what the configuration says.
        runtime_directory: Where instances keep their sockets; None for the user's ordinary place.
        user: Whom to run as, started as root; None for what the configuration says.
        log_format: How events are written.
    """

    sources: Sequence[str] = field(default_factory=list)
    name: str | None = None
    watch: bool = False
    threads: int | None = None
    runtime_directory: Path | None = None
    user: str | None = None
    log_format: Form = "auto"


def run(options: Options) -> int:
    """Runs a gateway until it is told to stop.

    Returns:
        The exit code: 0, 1 when starting failed, 3 when the configuration was refused.
    """
    events = Events("supervisor", options.log_format)
    try:
        instance = runtime.instance(
            options.name or runtime.default_name(options.sources), options.runtime_directory
        )
        identity = identities.resolve(options.user or configured_user(options.sources))
        if identity is not None:
            identities.check_access(identity, [Path(source) for source in options.sources])
        runtime.prepare(instance, identity.gid if identity is not None else None)
        lock = acquire(instance)
    except (InstanceError, IdentityError) as error:
        fail(str(error))
        return 1
    plain = {**vars(options), "sources": list(options.sources), "log_format": events.form}
    plain["runtime_directory"] = str(options.runtime_directory) if options.runtime_directory else None
    return _serve(
        instance,
        identity,
        events,
        Notifier(),
        Handed(plain, instance.name, str(instance.directory.parent), lock=lock),
    )


def take_over(handed: Handed) -> int:
    """Goes on where the supervisor before, this very process, left off; returns the exit code."""
    events = Events("supervisor", handed.options["log_format"])
    for descriptor in (handed.lock, handed.door):
        os.set_inheritable(descriptor, False)
    try:
        instance = runtime.instance(handed.instance, Path(handed.runtime_directory))
        # Whom the node runs as is decided: the file may have another user by now, which control says.
        identity = identities.resolve(handed.user or "root") if os.geteuid() == 0 else None
    except (InstanceError, IdentityError) as error:
        fail(str(error))
        return 1
    return _serve(instance, identity, events, Notifier(handed.notify, is_ready=handed.is_ready), handed)


def _serve(
    instance: Instance, identity: Identity | None, events: Events, notifier: Notifier, handed: Handed
) -> int:
    reserve_descriptors()
    raise_descriptor_limit()
    supervisor = Supervisor(instance, identity, events, notifier, handed)
    try:
        return supervisor.run()
    except AdoptionError as error:
        fail(str(error))
        return 1
    finally:
        os.close(handed.lock)


def acquire(instance: Instance) -> int:
    """Locks the instance for this process; the lock ends with the returned descriptor.

    Raises:
        InstanceError: Another supervisor runs it.
    """
    path = instance.lock_file
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            if os.fstat(descriptor).st_uid != os.geteuid():
                raise InstanceError(f"{path} belongs to another user; remove it")
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The one who ended just now may have removed the file we locked.
            if _is_same(descriptor, path):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
                return descriptor
        except BlockingIOError:
            holder = ""
            with contextlib.suppress(OSError):
                holder = path.read_text().strip()
            os.close(descriptor)
            raise InstanceError(
                f"instance {instance.name!r} is running already (supervisor {holder or 'unknown'}); "
                f"`tidegate reload --name {instance.name}` applies a change, --name starts another instance"
            ) from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def configured_user(sources: Sequence[str]) -> str | None:
    """What `gateway.user` says in the files, which is needed before control may read them.

    Files that cannot be read or understood are left to control, which says what is wrong.
    """
    if os.geteuid() != 0:
        return None
    from tidegate.config.nodes import Malformed, Mapping, Scalar, compose

    for source in sources:
        try:
            tree = compose(Path(source).read_text())
        except (OSError, ValueError, Malformed):
            continue
        user = _child(_child(tree, "gateway", Mapping), "user", Scalar)
        if user is not None:
            return user.text
    return None


_Part = TypeVar("_Part")


def _child(tree: Any, key: str, kind: type[_Part]) -> _Part | None:
    """What a mapping of the file has under `key`, if it is of that kind."""
    for name, value in getattr(tree, "pairs", ()):
        if getattr(name, "text", None) == key and isinstance(value, kind):
            return value
    return None
