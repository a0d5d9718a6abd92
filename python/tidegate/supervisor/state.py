# SPDX-License-Identifier: Apache-2.0
"""What one supervisor leaves for the next: `state.json`, written whole, read with suspicion.

`{"boot": str, "supervisor": int, "node": CHILD or null, "graceful_stop_ms": int, "workers": [CHILD
with "function", "number", "hash"], "origins": [CHILD with how it was started]}`, CHILD being
`{"pid", "start_time"}`. Process identifiers of another boot mean nothing and are ignored.
"""

import json
import os
import secrets
from pathlib import Path
from typing import Any


def boot_identifier() -> str:
    """Names this boot of the machine; empty when the kernel does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def write(path: Path, state: dict[str, Any]) -> None:
    """Replaces the file in one step; only its owner may read it.

    Raises:
        OSError: The disk is full, or the directory is gone.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
    )
    try:
        with open(descriptor, "w") as file:
            json.dump({"boot": boot_identifier(), **state}, file)
        os.rename(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read(path: Path) -> dict[str, Any]:
    """What the last supervisor wrote in this boot; empty when there is nothing to trust."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return {}
    with open(descriptor) as file:
        # The directory may be writable for the node's user: believe only what we wrote.
        if os.fstat(file.fileno()).st_uid != os.geteuid():
            return {}
        try:
            state = json.load(file)
        except ValueError:
            return {}
    if not isinstance(state, dict) or state.get("boot") != boot_identifier():
        return {}
    return state
