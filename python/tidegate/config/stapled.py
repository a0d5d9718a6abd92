# SPDX-License-Identifier: Apache-2.0
"""What authorities say of certificates (OCSP, RFC 6960), as the node gets it: out of a file, or kept here."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidegate.config.gateway import Gateway

_LARGEST = 1 << 16


def nothing() -> dict[str, Any]:
    """No answer, by the settings of `CertificateWire`."""
    return {"ocsp": None, "ocsp_until": 0}


def _told(answer: bytes, until: int) -> dict[str, Any]:
    return {"ocsp": base64.b64encode(answer).decode().rstrip("="), "ocsp_until": until}


def of_file(cert: str, name: str, folder: Path) -> dict[str, Any]:
    """The answer in a file, by the settings of `CertificateWire`. One that has expired is no mistake, since
    it was right when it was written; the node does not show it.

    Args:
        cert: The certificate in PEM, who signed it behind it.
        name: The file, relative to the folder.
        folder: What relative paths start from.

    Raises:
        ValueError: It can not be read, is about something else, or says that the certificate is not good.
    """
    from tidegate import _engine

    try:
        with open(folder / name, "rb") as file:
            answer = file.read(_LARGEST + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ValueError(f"the file `{name}` can not be read: {reason}") from None
    if len(answer) > _LARGEST:
        raise ValueError(f"the file `{name}` is larger than 64 KiB, and no OCSP response")
    try:
        standing, _, until = _engine.revocation_verdict(cert, answer, int(time.time()))
    except ValueError as error:
        raise ValueError(f"the file `{name}` can not be used: {error}") from None
    if standing == "revoked":
        raise ValueError(f"`{name}` says that the certificate was revoked; get another one")
    if standing != "good":
        raise ValueError(f"`{name}` says that its responder does not know the certificate; get it anew")
    return _told(answer, until)


def filled(certificates: list[dict[str, Any]], *, asks: bool) -> list[dict[str, Any]]:
    """Certificates as `CertificateWire`, each with the answer that is kept for it where it has none.

    Args:
        certificates: Those of a listener.
        asks: Whether responders are asked for it.
    """
    from tidegate.issuing import answers

    known = answers.names() if asks else frozenset()
    found = []
    for each in certificates:
        whole = nothing() | each
        if whole["ocsp"] is None and known and answers.name_of(whole["cert"]) in known:
            kept = answers.read(whole["cert"])
            if kept is not None:
                whole |= _told(kept.answer, kept.until)
        found.append(whole)
    return found


def asked(gateway: Gateway) -> dict[str, list[str]]:
    """By listener that wants answers got for it, what the certificates are called that have a file of their
    own for it."""
    return {
        name: [each.shown_cert for each in listener.tls.certificates if each.ocsp is not None]
        for name, listener in gateway.listeners.items()
        if listener.tls is not None and listener.tls.staple
    }
