# SPDX-License-Identifier: Apache-2.0
"""`tidegate dev-cert`: HTTPS on localhost that a browser believes."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tidegate.cli.codes import FAILED, stop
from tidegate.cli.output import plain, print_json
from tidegate.issuing import trust
from tidegate.issuing.development import DevelopmentError, Made, ensure, folder


def dev_cert(
    names: Sequence[str], directory: Path | None, *, trusts: bool, untrusts: bool, as_json: bool
) -> None:
    """Makes what is missing, has it trusted or not if that was asked, and says what to write where."""
    if untrusts:
        told = trust.remove((directory or folder()) / "ca.pem")
        _report({"untrusted": not any(not each.is_done for each in told)}, told, as_json=as_json)
        return
    try:
        made = ensure(names, directory)
    except DevelopmentError as error:
        stop(str(error))
    told = trust.install(made.authority) if trusts else []
    if not as_json:
        _say(made, asked=trusts)
    _report(_json(made), told, as_json=as_json)


def _json(made: Made) -> dict[str, Any]:
    return {
        "cert": str(made.cert),
        "key": str(made.key),
        "authority": str(made.authority),
        "names": list(made.names),
        "not_after": made.not_after,
        "is_new": made.is_new,
        "is_authority_new": made.is_authority_new,
    }


def _say(made: Made, *, asked: bool) -> None:
    day = time.strftime("%Y-%m-%d", time.gmtime(made.not_after))
    print(f"{'made' if made.is_new else 'still good'}: {', '.join(map(plain, made.names))}, until {day}")
    print(f"  certificate  {made.cert}\n  key          {made.key}\n  authority    {made.authority}")
    print("\nIn tidegate.yaml, with routes as they are:\n\n  listeners:\n    web: { port: 8443, tls: dev }\n")
    if not asked:
        print("For browsers to believe it: `tidegate dev-cert --trust`; for curl: ", end="")
        print(f"`curl --cacert {made.authority} https://localhost:8443/`")
        if made.is_authority_new:
            print("The authority is new: whatever trusted one of before has to be told anew.")


def _report(value: dict[str, Any], told: Sequence[trust.Told], *, as_json: bool) -> None:
    if as_json:
        stores = [{"store": each.store, "is_done": each.is_done, "says": each.says} for each in told]
        print_json({**value, "stores": stores})
    for each in () if as_json else told:
        print(f"{each.store}: {plain(each.says)}", file=sys.stdout if each.is_done else sys.stderr)
    if any(not each.is_done for each in told):
        raise SystemExit(FAILED)
