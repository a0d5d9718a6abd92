# SPDX-License-Identifier: Apache-2.0
"""`tidegate cert`: what control knows of certificates."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tidegate.cli.asking import ask, stop_refused
from tidegate.cli.codes import stop
from tidegate.cli.live import find
from tidegate.cli.output import plain, print_json, table
from tidegate.protocol import Refused

Certificate = dict[str, Any]


def _all(name: str | None, base: Path | None) -> list[Certificate]:
    found: list[Certificate] = ask(find(name, base).control_socket, "certificates.list")["certificates"]
    return found


def _moment(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds)) if seconds else "-"


def state(each: Certificate, now: float) -> str:
    """How a certificate is, in a word or two."""
    if not each["not_after"]:
        return "being ordered" if each.get("is_under_way") else "not there yet"
    if each["not_after"] < now:
        return "expired"
    if _lacks_answer(each, now):
        return "lacks its OCSP response"
    return "renewal fails" if each.get("failures") else "good"


def _lacks_answer(each: Certificate, now: float) -> bool:
    """Whether clients refuse it since it is to be shown with a response, and there is none."""
    said = each.get("ocsp")
    return said is not None and said["is_bound"] and said["until"] <= now


def _answer(said: dict[str, Any], now: float) -> str:
    """What authorities say of it, in a line."""
    parts = [f"good, shown until {_moment(said['until'])}" if said["until"] > now else "no response"]
    if said["is_bound"] and said["until"] <= now:
        parts.append("though the certificate wants one (must-staple), and clients refuse it without")
    if said.get("responder"):
        again = f", asked again from {_moment(said['next_at'])} on" if said["next_at"] else ""
        parts.append(f"by {plain(said['responder'])}{again}")
    if said.get("says"):
        parts.append(plain(said["says"]))
    return "; ".join(parts)


def show_all(name: str | None, base: Path | None, *, as_json: bool) -> None:
    """Prints a line for each certificate, and what failed."""
    found = _all(name, base)
    if as_json:
        print_json({"certificates": found})
        return
    if not found:
        print("no listener has a certificate")
        return
    now = time.time()
    rows = [
        [
            ", ".join(each["names"]),
            each["source"],
            each["issuer"],
            _moment(each["not_after"]),
            _moment(each.get("renew_at", 0)),
            state(each, now),
        ]
        for each in found
    ]
    print(table(["NAMES", "SOURCE", "ISSUER", "EXPIRES (UTC)", "RENEWED FROM", "STATE"], rows))
    for each in found:
        if each.get("says"):
            print(f"\n{plain(', '.join(each['names']))}: {_failure(each)}")
        if each.get("ocsp") and (each["ocsp"].get("says") or _lacks_answer(each, now)):
            print(f"\n{plain(', '.join(each['names']))}: OCSP: {_answer(each['ocsp'], now)}")


def _failure(each: Certificate) -> str:
    said = plain(each["says"])
    if not each["failed_at"]:
        return said
    again = f"tried again from {_moment(each['next_at'])} on"
    return f"failed {_moment(each['failed_at'])} ({each['failures']} in a row), {again}: {said}"


def show(host: str, name: str | None, base: Path | None, *, as_json: bool) -> None:
    """Prints what there is to know of the certificates for a host."""
    wide = f"*.{host.partition('.')[2]}"
    found = [each for each in _all(name, base) if host in each["names"] or wide in each["names"]]
    if not found:
        stop(f"no certificate is for {host!r}; `tidegate cert list` shows all")
    if as_json:
        print_json({"certificates": found})
        return
    now = time.time()
    for each in found:
        print(
            f"names      {plain(', '.join(each['names']))}\n"
            f"state      {state(each, now)}\n"
            f"source     {plain(each['source'])}\n"
            f"issuer     {plain(each['issuer'])}\n"
            f"good       {_moment(each['not_before'])} to {_moment(each['not_after'])} (UTC)\n"
            f"listeners  {plain(', '.join(each['listeners']))}"
        )
        if each.get("ocsp"):
            print(f"ocsp       {_answer(each['ocsp'], now)}")
        if "renew_at" in each:
            print(f"authority  {plain(each['authority'])}\nrenewed    from {_moment(each['renew_at'])} on")
        if each.get("says"):
            print(f"failure    {_failure(each)}")


def renew(host: str | None, name: str | None, base: Path | None, *, force: bool, as_json: bool) -> None:
    """Has certificates ordered, and says which."""
    instance = find(name, base)
    try:
        reply = ask(instance.control_socket, "certificates.renew", name=host, force=force)
    except Refused as refusal:
        stop_refused(refusal, as_json=as_json, code=1)
    ordered: list[list[str]] = reply["ordered"]
    if as_json:
        print_json({"ordered": ordered})
        return
    if not ordered:
        print("nothing is due; --force renews in any case")
        return
    names = "; ".join(plain(", ".join(group)) for group in ordered)
    print(f"{instance.name}: ordered for {names}; `tidegate cert list` shows what comes of it")
