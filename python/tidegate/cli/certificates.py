# SPDX-License-Identifier: Apache-2.0
"""What is likely to be wrong with TLS: no mistake, since the rest may be needed at once.

Certificates that are refused or soon will be, and endpoints that nobody verifies.
"""

from __future__ import annotations

import json
import time
from typing import Final

from tidegate.config.problem import Problem
from tidegate.control.compiled import Compiled

SOON: Final = 14 * 86_400
"""Seconds before its end from which a certificate is told of; what renews by itself did so before."""


def expiring(compiled: Compiled) -> list[Problem]:
    """One for each certificate that is not good now or not for long, at the place of its listener."""
    from tidegate import _engine

    now, found = time.time(), []
    for (kind, name), resource in compiled.snapshot.resources.items():
        tls = json.loads(resource.value)["tls"] if kind == "listener" else None
        for number, each in enumerate(tls["certificates"] if tls is not None else ()):
            validity = _engine.certificate_validity(each["cert"])
            # What an authority gives is renewed by itself, and may be good for a few days.
            is_own = each["cert_name"].startswith("acme:")
            says = _says(each["cert_name"], *validity, now) if validity is not None and not is_own else ""
            place = compiled.snapshot.positions.get((kind, name), "")
            path = f"listeners.{name}.tls.certificates[{number}]"
            if says:
                found.append(Problem(says, path=path, file=place))
            if each["ocsp"] is not None and each["ocsp_until"] <= now:
                says = (
                    f"its OCSP response expired on {_day(each['ocsp_until'])} and is not shown; get it anew"
                )
                found.append(Problem(says, path=f"{path}.ocsp", file=place))
    return found


def to_backends(compiled: Compiled) -> list[Problem]:
    """One for each backend whose endpoints are not verified, and for each certificate of ours that endpoints
    refuse or soon will."""
    from tidegate import _engine

    now, found = time.time(), []
    for (kind, name), resource in compiled.snapshot.resources.items():
        tls = json.loads(resource.value)["tls"] if kind == "backend" else None
        if tls is None:
            continue
        place = compiled.snapshot.positions.get((kind, name), "")
        if tls["insecure_skip_verification"]:
            says = (
                "nobody verifies who its endpoints are: whoever is on the way can read and change "
                "everything; write `ca` in its place"
            )
            path = f"backends.{name}.tls.insecure_skip_verification"
            found.append(Problem(says, path=path, file=place))
        own = tls["certificate"]
        validity = _engine.certificate_validity(own["cert"]) if own is not None else None
        says = _says(own["cert_name"], *validity, now, "endpoints") if validity is not None else ""
        if says:
            found.append(Problem(says, path=f"backends.{name}.tls.certificate", file=place))
    return found


def _says(name: str, begin: int, end: int, now: float, whom: str = "clients") -> str:
    if now > end:
        return f"the certificate in `{name}` expired on {_day(end)}, and {whom} refuse it; renew it"
    if now < begin:
        return f"the certificate in `{name}` is good from {_day(begin)} on, and {whom} refuse it until then"
    if now > end - SOON:
        return f"the certificate in `{name}` expires on {_day(end)}; renew it"
    return ""


def _day(seconds: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))
