# SPDX-License-Identifier: Apache-2.0
"""Certificates that clients refuse, or soon will: no mistake, since the rest may be needed at once."""

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
            says = _says(each["cert_name"], *validity, now) if validity is not None else ""
            if says:
                path = f"listeners.{name}.tls.certificates[{number}]"
                found.append(Problem(says, path=path, file=compiled.snapshot.positions.get((kind, name), "")))
    return found


def _says(name: str, begin: int, end: int, now: float) -> str:
    if now > end:
        return f"the certificate in `{name}` expired on {_day(end)}, and clients refuse it; renew it"
    if now < begin:
        return f"the certificate in `{name}` is good from {_day(begin)} on, and clients refuse it until then"
    if now > end - SOON:
        return f"the certificate in `{name}` expires on {_day(end)}; renew it"
    return ""


def _day(seconds: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))
