# SPDX-License-Identifier: Apache-2.0
"""What responders have said of certificates (OCSP, RFC 6960), kept on disk: a file for each certificate.

They lie in the folder `ocsp` of the state directory, called by a hash of the certificate and what stands
behind it. Nothing in them is secret; they are written whole or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tidegate.issuing.store import state_folder

FOLDER: Final = "ocsp"
_ENDING: Final = ".der"
_FORGOTTEN: Final = 60 * 86_400
"""Seconds after which a file that nobody has written again is of a certificate that is no more."""


@dataclass(frozen=True)
class Answer:
    """What a responder has said, and is believed.

    Attributes:
        answer: As it came, in DER.
        since: Since when it is so, in seconds since 1970.
        until: Until when it may be shown.
    """

    answer: bytes
    since: int
    until: int


def name_of(cert: str) -> str:
    """What the file for a certificate in PEM is called."""
    return hashlib.blake2b(cert.encode(), digest_size=16).hexdigest() + _ENDING


def names() -> frozenset[str]:
    """All files that there are; none where the folder can not be read."""
    try:
        return frozenset(os.listdir(state_folder() / FOLDER))
    except OSError:
        return frozenset()


def read(cert: str) -> Answer | None:
    """What is kept of a certificate, if it counts and says that it is good."""
    from tidegate import _engine

    now = int(time.time())
    try:
        answer = (state_folder() / FOLDER / name_of(cert)).read_bytes()
        standing, since, until = _engine.revocation_verdict(cert, answer, now)
    except (OSError, ValueError):
        return None
    return Answer(answer, since, until) if standing == "good" and until > now else None


def write(cert: str, answer: bytes) -> None:
    """Keeps what was said of a certificate.

    Raises:
        OSError: It can not be written; what was kept before is there still.
    """
    folder = state_folder() / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / name_of(cert)
    own = path.with_suffix(f".{os.getpid()}")
    try:
        with open(own, "wb") as file:
            file.write(answer)
            file.flush()
            os.fsync(file.fileno())
        own.replace(path)
    except OSError:
        own.unlink(missing_ok=True)
        raise
    _forget(folder)


def drop(cert: str) -> None:
    """Keeps nothing of a certificate any more."""
    with contextlib.suppress(OSError):
        (state_folder() / FOLDER / name_of(cert)).unlink()


def _forget(folder: Path) -> None:
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - _FORGOTTEN:
                path.unlink()
