# SPDX-License-Identifier: Apache-2.0
"""Looks a name up again and again, as often as its TTL wants."""

from __future__ import annotations

import asyncio
import ipaddress
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.rdatatype
import dns.resolver
from dns.rdtypes.IN.SRV import SRV

from tidegate.config.backend import Endpoint
from tidegate.discovery.dns.model import DnsDiscovery
from tidegate.discovery.report import Report

_LONGEST_RETRY: Final = 30.0
"""Seconds between two tries at most."""
_MOST_PRIORITIES: Final = 128
_MOST_TARGETS: Final = 1_000
"""Targets of SRV records that are looked up."""


async def follow(settings: DnsDiscovery, report: Report, folder: Path) -> None:
    """Tells what the name stands for, now and whenever the answer has grown old."""
    shortest, longest = int(settings.min_ttl) / 1000, int(settings.max_ttl) / 1000
    retry = first = min(max(shortest, 0.1), _LONGEST_RETRY)
    while True:
        try:
            async with asyncio.timeout(int(settings.timeout) / 1000):
                endpoints, ttl = await look_up(settings)
        except (dns.exception.DNSException, OSError, ValueError) as error:
            report.failed(f"{settings.name}: {_reason(error)}")
            pause, retry = retry, min(retry * 2, _LONGEST_RETRY)
        else:
            report.found(endpoints)
            pause, retry = min(max(ttl, shortest), longest), first
        # Many gateways that began together are not to ask together for ever.
        await asyncio.sleep(pause * random.uniform(0.9, 1.0))


async def look_up(settings: DnsDiscovery) -> tuple[list[Endpoint], float]:
    """What the name stands for now, and for how many seconds.

    Identifiers and source ports are random for each question (RFC 5452), an answer that is cut short is
    asked for again over TCP (RFC 7766), and names that stand for others are followed.

    Raises:
        DNSException: No answer that could be used: an error, a wait that was too long, or nothing.
        ValueError: An answer that says that there is nothing.
    """
    resolver = _resolver(settings)
    if settings.record == "srv":
        return await _services(resolver, settings)
    kinds = {"a": ["A"], "aaaa": ["AAAA"], "address": ["A", "AAAA"]}[settings.record]
    addresses, ttl = await _addresses(resolver, settings.name, kinds)
    assert settings.port is not None
    found = [_endpoint(address, settings.port, settings.weight, settings) for address in addresses]
    return found, ttl


def _resolver(settings: DnsDiscovery) -> dns.asyncresolver.Resolver:
    # Made anew each time: the system's file may have changed.
    resolver = dns.asyncresolver.Resolver(configure=not settings.resolvers)
    if settings.resolvers:
        parts = [text.rpartition(":") for text in settings.resolvers]
        resolver.nameservers = [
            dns.nameserver.Do53Nameserver(host.strip("[]"), int(port)) for host, _, port in parts
        ]
    resolver.lifetime = int(settings.timeout) / 1000
    # One that does not answer must leave time for the next.
    resolver.timeout = min(2.0, resolver.lifetime / max(len(resolver.nameservers), 1) / 1.5)
    resolver.cache = None
    return resolver


async def _addresses(
    resolver: dns.asyncresolver.Resolver, name: str, kinds: Iterable[str]
) -> tuple[list[str], float]:
    """Addresses in a stable order, and the shortest TTL on the way to them.

    Raises:
        DNSException: One of the questions was not answered, or none has an address.
    """
    asked = [resolver.resolve(name + ".", kind, raise_on_no_answer=False, search=False) for kind in kinds]
    answers = await asyncio.gather(*asked)
    ttls: list[float] = []
    found: set[str] = set()
    for answer in answers:
        if answer.rrset is None:
            continue
        ttls.append(answer.chaining_result.minimum_ttl)
        found |= {str(record.address) for record in answer.rrset if _is_usable(record.address)}
    if not found:
        raise ValueError("it has no addresses")
    return sorted(found, key=lambda text: (":" in text, text)), min(ttls)


def _is_usable(text: str) -> bool:
    """Whether it can be connected to: no group, and not no address at all."""
    address = ipaddress.ip_address(text)
    return not (address.is_multicast or address.is_unspecified)


async def _services(
    resolver: dns.asyncresolver.Resolver, settings: DnsDiscovery
) -> tuple[list[Endpoint], float]:
    """The targets with their addresses (RFC 2782); the lowest priority of the records is our 0."""
    answer = await resolver.resolve(settings.name + ".", "SRV", search=False)
    records = [record for record in answer.rrset or () if isinstance(record, SRV)]
    # A target of "." says that the service is decidedly not there.
    records = [record for record in records if record.target.to_text() != "."]
    if not records:
        raise ValueError("its SRV records say that there is no such service")
    order = sorted({record.priority for record in records})[:_MOST_PRIORITIES]
    rank = {priority: number for number, priority in enumerate(order)}
    first = sorted((each for each in records if each.priority in rank), key=lambda each: each.priority)
    first = first[:_MOST_TARGETS]
    names = sorted({record.target.to_text(omit_final_dot=True) for record in first})
    looked_up = await asyncio.gather(*(_addresses(resolver, name, ("A", "AAAA")) for name in names))
    addresses = dict(zip(names, (found for found, _ in looked_up), strict=True))
    found: dict[tuple[str, int], Endpoint] = {}
    for priority, number in rank.items():
        equals = [record for record in first if record.priority == priority]
        for record, weight in zip(equals, weights([record.weight for record in equals]), strict=True):
            for address in addresses[record.target.to_text(omit_final_dot=True)]:
                # One that is named twice counts where it is wanted first.
                made = _endpoint(address, record.port, weight, settings, number)
                found.setdefault((address, record.port), made)
    ttl = min([answer.chaining_result.minimum_ttl, *(ttl for _, ttl in looked_up)])
    return [found[key] for key in sorted(found)], ttl


def weights(given: list[int]) -> list[int]:
    """SRV weights as ours: 0 there is a very small chance (RFC 2782), and none at all here."""
    if not any(given):
        return [1] * len(given)
    if all(given):
        return given
    return [max(weight * 10, 1) for weight in given]


def _endpoint(address: str, port: int, weight: int, settings: DnsDiscovery, priority: int = 0) -> Endpoint:
    host = f"[{address}]" if ":" in address else address
    return Endpoint(address=f"{host}:{port}", weight=weight, zone=settings.zone, priority=priority)


def _reason(error: Exception) -> str:
    if isinstance(error, dns.resolver.NXDOMAIN):
        return "there is no such name"
    if isinstance(error, dns.resolver.NoAnswer):
        return "it has no such records"
    if isinstance(error, dns.exception.Timeout | TimeoutError):
        return "no answer in time"
    return " ".join(str(error).split()) or type(error).__name__
