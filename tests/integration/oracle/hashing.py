# SPDX-License-Identifier: Apache-2.0
"""Keys, rings and Maglev tables as their papers and our pages describe them: slow, and a few lines each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from ipaddress import IPv6Address, ip_address
from math import ceil

_BITS = (1 << 64) - 1


def mix(number: int) -> int:
    """One step of SplitMix64."""
    number = (number + 0x9E3779B97F4A7C15) & _BITS
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & _BITS
    number = (number ^ number >> 27) * 0x94D049BB133111EB & _BITS
    return number ^ number >> 31


def stable(data: bytes) -> int:
    """FNV-1a, spread."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & _BITS
    return mix(value)


def _values(values: Iterable[bytes]) -> bytes:
    return b"".join(len(value).to_bytes(8, "little") + value for value in values)


def key(parts: Sequence[Sequence[bytes]]) -> int | None:
    """The key of a request from the values of each part; `None` if there is none at all."""
    return stable(b"".join(b"\xff" + _values(values) for values in parts)) if any(parts) else None


def address(text: str, ipv4: int = 32, ipv6: int = 128) -> bytes:
    """The leading bits of an address, the rest 0."""
    found = ip_address(text)
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    size, bits = (4, ipv4) if found.version == 4 else (16, ipv6)
    return (int(found) >> size * 8 - bits << size * 8 - bits).to_bytes(size, "big")


def client_key(text: str, ipv4: int, ipv6: int) -> int:
    """The key of `ip_hash`."""
    return stable(_values([address(text, ipv4, ipv6)]))


def _order(first: int, size: int) -> Iterator[int]:
    """The slots in the order in which an endpoint wants them."""
    skip = mix(first) % (size - 1) + 1
    return ((first + turn * skip) % size for turn in range(size))


def maglev(addresses: Sequence[str], weights: Sequence[int], size: int) -> list[int]:
    """The slots: rounds in which each endpoint earns its weight and buys one slot for the greatest weight."""
    hashes = [stable(name.encode()) for name in addresses]
    orders = [_order(first, size) for first in hashes]
    slots: list[int | None] = [None] * size
    credit = [0] * len(addresses)
    while None in slots:
        for position, weight in enumerate(weights):
            credit[position] += weight
            if weight and credit[position] >= max(weights) and None in slots:
                credit[position] -= max(weights)
                slots[next(slot for slot in orders[position] if slots[slot] is None)] = position
    return [slot for slot in slots if slot is not None]


def in_table(slots: Sequence[int], point: int, is_usable: Callable[[int], bool]) -> int:
    """The endpoint of a key; where it is not usable, that of the key hashed again."""
    while not is_usable(slots[point % len(slots)]):
        point = mix(point)
    return slots[point % len(slots)]


def _bids(address: str, weight: int, size: int) -> list[float]:
    """When the endpoint first bids for each slot: so many bids after the start, by its weight."""
    times: dict[int, float] = {}
    number = 0
    while len(times) < size:
        number += 1
        times.setdefault(mix(stable(address.encode()) ^ number) * size >> 64, number * (1 / weight))
    return [times[slot] for slot in range(size)]


def ring(addresses: Sequence[str], weights: Sequence[int], size: int) -> list[list[int]]:
    """Who bids for each slot, the first first."""
    bids = {
        position: _bids(name, weight, size)
        for position, (name, weight) in enumerate(zip(addresses, weights, strict=True))
        if weight
    }
    return [
        sorted(bids, key=lambda position: (bids[position][slot], stable(addresses[position].encode())))
        for slot in range(size)
    ]


def on_ring(
    slots: Sequence[Sequence[int]],
    point: int,
    loads: Sequence[int],
    weights: Sequence[int],
    percent: int | None,
) -> int:
    """The first that bid for the key's slot, or the next that has room for one more within the bound: the
    second, then those of the next slots."""
    first = point * len(slots) >> 64
    around = [endpoint for bids in [*slots[first:], *slots[:first]] for endpoint in bids[:2]]
    for endpoint in around:
        share = Fraction(percent or 0, 100) * (sum(loads) + 1) * Fraction(weights[endpoint], sum(weights))
        if percent is None or loads[endpoint] < ceil(share):
            return endpoint
    return around[0]
